"""The OAuth providers as they are configured: clients, scopes and redirect addresses, and the way to ask them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.runtime.platform_client import PlatformClient
from ops.runtime.platform_protocol import Problem, Steps, T
from publish.oauth.contract import App, Channel

Variables = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Outside:
    """The platforms whose accounts can be connected, as they are configured."""

    channels: Mapping[str, Channel]
    variables: Variables
    client: PlatformClient
    public_url: str

    def redirect_uri(self, platform: str, instance: str) -> str:
        """One for each platform, and for each instance of one: a code cannot be mixed up with another's."""
        middle = f"/{instance}" if instance else ""
        return f"{self.public_url.rstrip('/')}/api/auth/{platform}{middle}/callback"

    def first(self, name: str | None) -> str:
        values = self.variables.get(name or "", ())
        return values[0] if values else ""

    def all(self, name: str) -> tuple[str, ...]:
        """Every live value: one is rotated by having two for a while."""
        return self.variables.get(name, ())

    def scopes(self, platform: str, wanted: Sequence[str] = ()) -> list[str]:
        """What a person is asked for: the usual scopes, the operator's optional ones and those ``wanted`` beside them.

        Raises Problem for an optional one that the platform has not.
        """
        channel = self.channels[platform]
        variable = channel.optional_variable
        configured = self.all(variable.name) if variable is not None else ()
        known = ", ".join(channel.optional_scopes) or "none"
        if unknown := [scope for scope in wanted if scope not in channel.optional_scopes]:
            says = f"optional_scopes may name {known} here, and not {', '.join(map(repr, unknown))}."
            raise Problem("wrong", says[:500])
        if variable is not None and (unknown := [s for s in configured if s not in channel.optional_scopes]):
            raise Problem("app", f"{variable.name} may name {known}, and not {', '.join(unknown)}.")
        return list(dict.fromkeys((*channel.scopes, *configured, *wanted)))

    def app(self, platform: str, instance: str, client: tuple[str, str] = ("", "")) -> App:
        """Raises Problem where the platform is not configured."""
        channel = self.channels[platform]
        known = [v for v in (channel.client_id, channel.client_secret) if v is not None]
        missing = [variable.name for variable in known if not self.first(variable.name)]
        if missing:
            raise Problem("app", f"{' and '.join(missing)} is not set; the operator must set it.")
        if channel.client_id is not None and channel.client_secret is not None:
            client = (self.first(channel.client_id.name), self.first(channel.client_secret.name))
        hosts = channel.hosts or {"instance": f"https://{instance}"}
        return App(*client, self.redirect_uri(platform, instance), hosts, self.first(channel.base_url.name))

    async def run(self, steps: Steps[T], *, platform: str, instance: str, account: str = "") -> T:
        """Run the steps as ``PlatformClient.run`` does. Raises Problem."""
        return await self.client.run(steps, platform=platform, instance=instance, account=account)
