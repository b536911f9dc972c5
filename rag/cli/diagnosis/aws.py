"""Amazon Bedrock as this caller sees it: credentials, region, clock, endpoints, models and quotas."""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata

from rag.bedrock.control import account, endpoints, quotas
from rag.bedrock.control.catalog import Catalog, Listed, Profile
from rag.bedrock.control.permissions import Permission, Place, Use, action_of, denied, needed, policy
from rag.core.errors import RagError, near_miss
from rag.core.findings import Finding, State, ok
from rag.core.format import age_text, dollars
from rag.usage import model_ids
from rag.usage.prices import PriceTable

_SDKS = ("boto3", "botocore", "langchain-aws")
#: Seconds that the clocks may differ without a remark, and that credentials should still last.
_SMALL_SKEW_S, _SOON_S = 60, 900
#: Uses that are of a model.
_OF_MODELS = ("embed", "chat", "rerank")


@dataclass
class Bedrock:
    """The checks of one run, and what later ones need of the earlier ones.

    Attributes
    ----------
    uses : sequence of Use
        What the configured pipeline calls.
    prices : PriceTable
    region : str or None
        As given on the command line.
    full : bool
        Whether to show whole account ids.
    place : Place
        Where the caller is, as far as it is known.
    lacking : list of Permission
        What AWS refused.
    reachable : bool
        Whether calls make sense: there are a region, credentials and an endpoint.
    """

    uses: Sequence[Use]
    prices: PriceTable
    region: str | None = None
    full: bool = False
    place: Place = field(default_factory=Place)
    lacking: list[Permission] = field(default_factory=list)
    reachable: bool = False

    def findings(self) -> Iterator[Finding]:
        """Check everything that costs nothing."""
        found = ((name, metadata.version(name)) for name in _SDKS)
        sdks = ", ".join(f"{name} {version}" for name, version in found)
        yield ok("SDKs", f"{sdks}, Python {platform.python_version()}")
        region, keys = self._region(), self._keys()
        yield from (region, keys)
        if "fail" in (region.state, keys.state):
            return
        yield from self._endpoints()
        if not self.reachable:
            return
        yield self._identity()
        yield from self._models()
        yield from self._quotas()

    def located(self) -> list[Finding]:
        """Find the region alone, without a call."""
        return [self._region()]

    def shown(self, text: str) -> str:
        """Return a text as the user wants it: account ids masked, unless asked for in full."""
        return text if self.full else account.masked(text)

    def refusal(self, name: str, error: BaseException, operation: str, *, fatal: bool) -> Finding:
        """Return what a failed call means; a permission that it lacked is kept for the policy."""
        state: State = "fail" if fatal else "warn"
        lacks = denied(error, operation)
        if lacks is None:
            return Finding(name, state, self.shown(str(error)))
        self.lacking.append(lacks)
        advice = self.shown(f"add {lacks.action} on {lacks.resource}")
        return Finding(name, state, f"{lacks.action} is not allowed", advice)

    # ------------------------------------------------------------------------------ who and where

    def _region(self) -> Finding:
        try:
            found = (self.region, "--region") if self.region else account.region_source()
        except RagError as error:
            return Finding("region", "fail", str(error))
        own = {use.region for use in self.uses if use.region}
        if found is None:
            advice = "set AWS_REGION, or region of the profile, or give --region"
            if not own or any(use.region is None for use in self.uses):
                return Finding("region", "fail", "no AWS region is set", advice)
            found = (min(own), "rag.toml")
        region, source = found
        self.place = replace(self.place, region=str(region))
        more = f"; rag.toml also names {', '.join(sorted(own - {region}))}" if own - {region} else ""
        return ok("region", f"{region}, from {source}{more}")

    def _keys(self) -> Finding:
        try:
            keys = account.keys()
        except RagError as error:
            return Finding("credentials", "fail", str(error))
        if keys.expires is None:
            lasts = ", temporary: when they end is not known" if keys.temporary else ""
            return ok("credentials", f"from {keys.source}{lasts}")
        left = (keys.expires - dt.datetime.now(dt.UTC)).total_seconds()
        text = f"from {keys.source}, for {age_text(left)} more"
        if left < _SOON_S:
            return Finding("credentials", "warn", text, "renew them before a long build")
        return ok("credentials", text)

    def _identity(self) -> Finding:
        try:
            if account.keys().bearer:
                return Finding("identity", "skip", "STS does not know the owner of a Bedrock API key")
            who = account.identity(self.place.region)
        except RagError as error:
            return self.refusal("identity", error, "GetCallerIdentity", fatal=False)
        self.place = replace(self.place, account=who.account, partition=who.partition)
        text = self.shown(f"{who.arn}, account {who.account}")
        if who.root:
            return Finding("identity", "warn", text, "use a role or user with the policy of --policy instead")
        return ok("identity", text)

    def _endpoints(self) -> Iterator[Finding]:
        skew: float | None = None
        for service in endpoints.SERVICES:
            try:
                reached = endpoints.reach(endpoints.url_of(service, self.place.region))
            except RagError as error:
                yield Finding(service, "fail", str(error))
                continue
            self.reachable, skew = True, skew if reached.skew_s is None else reached.skew_s
            yield ok(service, f"{reached.url} answers in {1000 * reached.seconds:.0f} ms")
        if skew is not None:
            yield _clock(skew)

    # ------------------------------------------------------------------------------ models

    def _models(self) -> Iterator[Finding]:
        models = [use for use in self.uses if use.kind in _OF_MODELS]
        if not models:
            yield Finding("models", "skip", "rag.toml names none on Bedrock")
            return
        for region in dict.fromkeys(use.region or self.place.region for use in models):
            here = [use for use in models if (use.region or self.place.region) == region]
            catalog = Catalog(region)
            try:
                listed = {model.id: model for model in catalog.models()}
                profiles = catalog.profiles()
            except RagError as error:
                operation = "ListInferenceProfiles" if "Profiles" in str(error) else "ListFoundationModels"
                yield self.refusal("models", error, operation, fatal=False)
                continue
            for use in here:
                yield self._model(use, region, catalog, listed, profiles)

    def _model(
        self, use: Use, region: str, catalog: Catalog, listed: dict[str, Listed], profiles: Sequence[Profile]
    ) -> Finding:
        name = use.stage
        shown = self.shown(use.name)
        profile, id = model_ids.split(use.name)
        if use.name.startswith("arn:") and not (profile or id in listed):
            found = next((each for each in profiles if each.id == use.name.rsplit("/", 1)[-1]), None)
            if found is None and not use.base:
                return Finding(name, "fail", f"{shown} is no profile of {region}", "check the ARN")
            id = model_ids.split(use.base)[1] if use.base else found.models[0] if found else id
        elif profile and not any(each.id == f"{profile}.{id}" for each in profiles):
            advice = _profiles_of(id, profiles) or near_miss(use.name, [each.id for each in profiles])
            return Finding(name, "fail", f"{region} has no profile {shown}", advice)
        model = listed.get(id)
        if model is None:
            if profile:
                return ok(name, f"{shown} by a profile; {region} itself does not list the model")
            return Finding(name, "fail", f"{region} does not offer {shown}", near_miss(id, listed))
        if not profile and not use.name.startswith("arn:") and not model.on_demand:
            advice = _profiles_of(id, profiles) or "use an inference profile"
            return Finding(name, "fail", f"{shown} cannot be called by its id in {region}", advice)
        try:
            access = catalog.access(id)
        except RagError as error:
            return self.refusal(name, error, "GetFoundationModelAvailability", fatal=False)
        if not access.granted:
            advice = "request access to it in the Bedrock console"
            return Finding(name, "fail", f"{shown}: {access.missing}", advice)
        text = f"{shown} in {region}: access granted; {self._price(use)}"
        if model.legacy:
            until = f" until {model.ends:%Y-%m-%d}" if model.ends else ""
            return Finding(name, "warn", f"{text}; AWS retires it: callable{until}", "choose a newer model")
        if self.prices.find(use.name, use.base) is None:
            return Finding(name, "warn", text, self.prices.advice(use.name))
        return ok(name, text)

    def _price(self, use: Use) -> str:
        price = self.prices.find(use.name, use.base)
        if price is None:
            return "no price"
        if price.per_query is not None:
            return f"{dollars(price.per_query)} a query"
        out = f" in, ${price.output:g} out" if price.output else ""
        return f"${price.input:g}{out} per million tokens"

    def _quotas(self) -> Iterator[Finding]:
        ids = {model_ids.split(use.base or use.name)[1] for use in self.uses if use.kind in _OF_MODELS}
        try:
            held = quotas.quotas(self.place.region)
            names = {model.id: model.name for model in Catalog(self.place.region).models()}
        except RagError as error:
            yield self.refusal("quotas", error, "ListServiceQuotas", fatal=False)
            return
        for id in sorted(ids & names.keys()):
            for quota in quotas.of_model(held, names[id]):
                yield ok("quota", f"{quota.name}: {quota.value:,.0f}")
        if not held:
            yield Finding("quotas", "warn", "Service Quotas lists none of Bedrock", "look in the AWS console")

    # ------------------------------------------------------------------------------ the policy

    def whole_policy(self) -> dict[str, object]:
        """Return the policy that the configured pipeline needs."""
        return self._shown_policy(each for use in self.uses for each in needed(use, self.at(use)))

    def lacking_policy(self) -> dict[str, object]:
        """Return a policy of what AWS refused."""
        return self._shown_policy(self.lacking)

    def _shown_policy(self, permissions: Iterable[Permission]) -> dict[str, object]:
        """Return a policy; the account is a word to replace, unless account ids are shown in full."""
        return policy(
            each if self.full else replace(each, resource=account.masked(each.resource, "ACCOUNT"))
            for each in permissions
        )

    def at(self, use: Use) -> Place:
        """Return where a use is called."""
        return replace(self.place, region=use.region) if use.region else self.place


def _clock(skew_s: float) -> Finding:
    text = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} AWS"
    if abs(skew_s) >= endpoints.MOST_SKEW_S:
        return Finding("clock", "fail", f"{text}, which refuses such signatures", "set the clock (NTP)")
    if abs(skew_s) >= _SMALL_SKEW_S:
        return Finding("clock", "warn", f"{text}, which allows 5 minutes", "set the clock (NTP)")
    return ok("clock", "agrees with AWS's" if abs(skew_s) < 2 else text)


def _profiles_of(id: str, profiles: Sequence[Profile]) -> str:
    names = [each.id for each in profiles if id in each.models and not each.own]
    return f"use {' or '.join(names)}" if names else ""


def action_text(operation: str) -> str:
    """Return an operation with its action, where that has another name.

    Examples
    --------
    >>> action_text("Converse"), action_text("Rerank")
    ('Converse (bedrock:InvokeModel)', 'bedrock:Rerank')
    """
    action = action_of(operation)
    return action if action.endswith(f":{operation}") else f"{operation} ({action})"
