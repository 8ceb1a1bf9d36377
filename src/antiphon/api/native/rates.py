"""The rate limit of our own wire: requests a minute of a tenant, told in the headers of the IETF's draft.

draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` names the policy, its quota and its window in seconds;
`RateLimit` what is left of it, and in how many seconds it begins anew.
"""

from __future__ import annotations

from antiphon.api.http import Request
from antiphon.core.instance import Instance
from antiphon.core.rates import MINUTE_SECONDS, RequestRates
from antiphon.domain.keys import Principal


class Rates:
    """Counts each request once. `requests_per_minute` is the limit of tenants that have none of their own (0: none)."""

    def __init__(self, instance: Instance, requests_per_minute: int) -> None:
        self._instance = instance
        self._requests_per_minute = requests_per_minute
        self._rates = RequestRates()

    async def admit(self, request: Request, principal: Principal) -> None:
        """Count the request for the tenant that it is about. Raises RateLimitExceeded."""
        if request.standing is not None:
            return
        own = (await self._instance.tenants.settings(principal.tenant_id)).rate_limit
        try:
            self._rates.count(principal.tenant_id, self._requests_per_minute if own is None else own)
        finally:
            request.standing = self._rates.standing(principal.tenant_id)


def headers_of(request: Request) -> list[tuple[bytes, bytes]]:
    """Where the tenant stands after this request; none for a request that nobody has counted."""
    standing = request.standing
    if standing is None:
        return []
    return [
        (b"ratelimit-policy", b'"tenant";q=%d;w=%d' % (standing.limit, MINUTE_SECONDS)),
        (b"ratelimit", b'"tenant";r=%d;t=%d' % (standing.remaining, standing.seconds)),
    ]
