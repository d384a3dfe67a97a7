"""The two headers that Restate signs a request with."""

SCHEME_HEADER = "x-restate-signature-scheme"
TOKEN_HEADER = "x-restate-jwt-v1"
SCHEME = "v1"
