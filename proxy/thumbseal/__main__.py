"""``python -m thumbseal``."""

from thumbseal.cli import main

if __name__ == "__main__":
    main()
