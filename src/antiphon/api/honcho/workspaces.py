"""Workspaces: our tenants, by their names."""

from __future__ import annotations

from antiphon.api.honcho import wire
from antiphon.api.honcho.bodies import read_body, read_optional_body, value_error
from antiphon.api.honcho.errors import BODY_REFUSALS, REFUSALS
from antiphon.api.honcho.filters import WORKSPACE, list_filter
from antiphon.api.honcho.pages import LIST_QUERY, page_reply, read_part
from antiphon.api.honcho.reach import Reach, check_admin, check_whole_workspace
from antiphon.api.http import Reply, Request, json_reply
from antiphon.api.routing import Route
from antiphon.core.instance import Instance
from antiphon.core.messages import Messages
from antiphon.domain import limits
from antiphon.domain.errors import TenantNotFound

PATH = "/v3/workspaces"


class Workspaces:
    """The routes of workspaces."""

    def __init__(self, instance: Instance, reach: Reach) -> None:
        self._instance = instance
        self._reach = reach

    def routes(self) -> list[Route]:
        """What is served."""
        one = f"{PATH}/{{workspace_id}}"
        made = {200: wire.Workspace, 201: wire.Workspace, 404: wire.Refusal, **BODY_REFUSALS}
        missing = {404: wire.Refusal, 409: wire.Refusal}
        return [
            Route("POST", PATH, self.get_or_create, "Get a workspace, or make it.", made, wire.WorkspaceCreate),
            Route(
                "POST",
                f"{PATH}/list",
                self.list,
                "All workspaces, the oldest first.",
                {200: wire.Page[wire.Workspace], **BODY_REFUSALS},
                wire.WorkspaceGet | None,
                is_body_optional=True,
                query=LIST_QUERY,
            ),
            Route(
                "PUT",
                one,
                self.update,
                "Replace the metadata, merge the configuration.",
                {200: wire.Workspace, 404: wire.Refusal, **BODY_REFUSALS},
                wire.WorkspaceUpdate,
            ),
            Route(
                "DELETE",
                one,
                self.delete,
                "Delete a workspace that has no sessions.",
                {202: wire.Accepted, **missing, **REFUSALS},
            ),
        ]

    async def get_or_create(self, request: Request) -> Reply:
        """POST /v3/workspaces: 201 when it was made; what is given for one that is there is ignored."""
        principal = await self._reach.identify(request)
        body = await read_body(request, wire.WorkspaceCreate)
        await check_configuration(self._instance.messages, body.configuration)
        metadata = wire.object_text(body.metadata) or "{}"
        configuration = wire.configuration_text(body.configuration) or "{}"
        tenant, is_new = await self._reach.put_tenant(principal, body.id, metadata, configuration)
        return json_reply(201 if is_new else 200, wire.show_workspace(tenant))

    async def update(self, request: Request) -> Reply:
        """PUT /v3/workspaces/{workspace_id}: makes it when an administrator asks."""
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        body = await read_body(request, wire.WorkspaceUpdate)
        await check_configuration(self._instance.messages, body.configuration)
        tenant, _ = await self._reach.put_tenant(principal, request.params["workspace_id"])
        configuration = wire.configuration_text(body.configuration)
        tenant = await self._instance.tenants.update(tenant, wire.object_text(body.metadata), configuration)
        return json_reply(200, wire.show_workspace(tenant))

    async def delete(self, request: Request) -> Reply:
        """DELETE /v3/workspaces/{workspace_id}."""
        principal = await self._reach.identify(request)
        check_whole_workspace(principal)
        name = request.params["workspace_id"]
        tenant = await self._reach.find_tenant(name)
        if tenant is None:
            raise TenantNotFound
        await self._instance.deletions.delete_tenant(tenant.id)
        self._instance.tenants.forget(name)
        self._instance.keys.forget(tenant.id)
        return json_reply(202, wire.Accepted("Workspace deleted: what is left of it is being removed"))

    async def list(self, request: Request) -> Reply:
        """POST /v3/workspaces/list."""
        check_admin(await self._reach.identify(request))
        asked = read_part(request)
        wanted = list_filter(await read_optional_body(request, wire.WorkspaceGet), WORKSPACE)
        if wanted is None:
            tenants, total = await self._instance.tenants.list(asked.part)
        else:
            tenants, total = await self._instance.lists.tenants(wanted, asked.part)
        return page_reply(asked, [wire.show_workspace(tenant) for tenant in tenants], total)


async def check_configuration(counter: Messages, configuration: wire.Configuration | None) -> None:
    """Raises InvalidRequest when the instructions in a configuration are too long."""
    if configuration is not None:
        await check_reasoning(counter, configuration.reasoning, ["body", "configuration"])


async def check_reasoning(
    counter: Messages, reasoning: wire.ReasoningConfiguration | None, place: list[str | int]
) -> None:
    """Raises InvalidRequest when the instructions are too long, counted in tokens."""
    text = reasoning and reasoning.custom_instructions
    if text and await counter.count_tokens(text) > limits.HONCHO_INSTRUCTION_TOKENS:
        message = f"custom_instructions has more than {limits.HONCHO_INSTRUCTION_TOKENS} tokens"
        raise value_error([*place, "reasoning", "custom_instructions"], message, text)
