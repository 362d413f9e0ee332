"""The OAuth providers as they are configured: clients, scopes and redirect addresses, and the way to ask them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.runtime.platform_client import PlatformClient
from ops.runtime.platform_protocol import PlatformError
from publish.oauth.contract import App, OAuthProvider

Variables = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class OAuthProviders:
    """The platforms whose accounts can be connected, with the operator's configuration for each.

    ``variables`` hold every live value of a configuration variable; ``client`` asks the platforms.
    """

    by_platform: Mapping[str, OAuthProvider]
    variables: Variables
    client: PlatformClient
    public_url: str

    def redirect_uri(self, platform: str, instance: str) -> str:
        """Return the redirect address of a platform and instance: each has its own, so that no code is mixed up."""
        middle = f"/{instance}" if instance else ""
        return f"{self.public_url.rstrip('/')}/api/auth/{platform}{middle}/callback"

    def first(self, name: str | None) -> str:
        """Return the first value of a variable; empty if it is not set."""
        values = self.variables.get(name or "", ())
        return values[0] if values else ""

    def all(self, name: str) -> tuple[str, ...]:
        """Return every live value of a variable: a secret is rotated by setting two for a while."""
        return self.variables.get(name, ())

    def verified(self) -> Mapping[str, Sequence[str]]:
        """Return the hosts and address prefixes that platforms have verified as ours, by platform; none not told of."""
        named = {name: provider.verified_variable for name, provider in self.by_platform.items()}
        found = {name: self.all(variable.name) for name, variable in named.items() if variable is not None}
        return {name: urls for name, urls in found.items() if urls}

    def scopes(self, platform: str, wanted: Sequence[str] = ()) -> list[str]:
        """Return what a person is asked for. Raises PlatformError; see :func:`asked_scopes`."""
        return asked_scopes(self.by_platform[platform], self.variables, wanted)

    def app(self, platform: str, instance: str, client: tuple[str, str] = ("", "")) -> App:
        """Return our application at a platform; ``client`` is its id and secret where we registered it ourselves.

        Raises PlatformError where the platform is not configured.
        """
        provider = self.by_platform[platform]
        known = [v for v in (provider.client_id, provider.client_secret) if v is not None]
        missing = [variable.name for variable in known if not self.first(variable.name)]
        if missing:
            raise PlatformError("app", f"{' and '.join(missing)} is not set; the operator must set it.")
        if provider.client_id is not None and provider.client_secret is not None:
            client = (self.first(provider.client_id.name), self.first(provider.client_secret.name))
        hosts = provider.hosts or {"instance": f"https://{instance}"}
        tokens = [token for variable in provider.verify_tokens if (token := self.first(variable.name))]
        return App(
            *client,
            self.redirect_uri(platform, instance),
            hosts,
            self.first(provider.base_url.name),
            verify_token=tokens[0] if tokens else "",
        )


def asked_scopes(provider: OAuthProvider, variables: Variables, wanted: Sequence[str] = ()) -> list[str]:
    """Return what a person is asked for: the usual scopes, the operator's optional ones and those ``wanted``.

    Raises PlatformError for an optional scope or a product that the platform does not have.
    """
    scopes = _product_scopes(provider, variables)
    variable = provider.optional_variable
    configured = variables.get(variable.name, ()) if variable is not None else ()
    known = ", ".join(provider.optional_scopes) or "none"
    if unknown := [scope for scope in wanted if scope not in provider.optional_scopes]:
        message = f"optional_scopes may name {known} here, and not {', '.join(map(repr, unknown))}."
        raise PlatformError("wrong", message[:500])
    if variable is not None and (unknown := [s for s in configured if s not in provider.optional_scopes]):
        raise PlatformError("app", f"{variable.name} may name {known}, and not {', '.join(unknown)}.")
    return list(dict.fromkeys((*scopes, *configured, *wanted)))


def _product_scopes(provider: OAuthProvider, variables: Variables) -> Sequence[str]:
    """Return the usual scopes, or those of the product that the operator names. Raises PlatformError."""
    variable = provider.product_variable
    named = variables.get(variable.name, ()) if variable is not None else ()
    if variable is None or not named:
        return provider.scopes
    if len(named) > 1 or named[0] not in provider.products:
        message = f"{variable.name} may be {' or '.join(provider.products)}, or empty, and not {', '.join(named)}."
        raise PlatformError("app", message[:500])
    return provider.products[named[0]]
