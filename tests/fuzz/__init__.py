"""Fuzzing the HTTP face: requests made from `/openapi.json`, right ones and wrong ones."""
