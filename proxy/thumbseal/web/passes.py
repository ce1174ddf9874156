"""Backend tokens: who may speak for a site's backend."""

from thumbseal.claims import PassClaims
from thumbseal.errors import TokenError, Unauthorized
from thumbseal.keys import Kind
from thumbseal.log import Log
from thumbseal.web.sites import ServedSite, Sites

BEARER = "bearer "


def check_pass(site: ServedSite, authorization: str, log: Log, now: float) -> None:
    """Let pass an ``Authorization`` header with a good backend token of this site.

    Raises:
        Unauthorized: it is anything else, or was revoked.
    """
    read_pass(site, bearer(authorization), log, now)


def read_pass(site: ServedSite, token: str, log: Log, now: float) -> PassClaims:
    """The claims of a good backend token of this site.

    Raises:
        Unauthorized: it is anything else, or was revoked.
    """
    try:
        claims = site.tokens.read_pass(Kind.BACKEND, token, now)
    except TokenError:
        raise Unauthorized from None
    if log.barriers.refuse(site.name, claims.issued, token=claims.id):
        raise Unauthorized
    return claims


def site_of(sites: Sites, authorization: str, log: Log, now: float) -> ServedSite:
    """The site whose good backend token an ``Authorization`` header holds.

    Raises:
        Unauthorized: there is none.
    """
    site = sites.of_token(bearer(authorization))
    check_pass(site, authorization, log, now)
    return site


def bearer(authorization: str) -> str:
    """The token of an ``Authorization`` header.

    Raises:
        Unauthorized: it is of another scheme.
    """
    if authorization[: len(BEARER)].lower() != BEARER:
        raise Unauthorized
    return authorization[len(BEARER) :]
