"""Keys: made, shown once, checked on every request from memory, ended within a second everywhere."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

from antiphon.core.ports import Slice, Store
from antiphon.domain import keys as credential
from antiphon.domain import limits, participants, texts, times
from antiphon.domain.errors import (
    AuthenticationFailed,
    InvalidInput,
    KeyNotFound,
    StoreError,
    TenantNotFound,
)
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.keys import Key, Principal


class _Entry:
    """A key in memory: what it stands for, when the store last confirmed it, and whether it was used since."""

    __slots__ = ("checked_at", "is_used", "key", "principal")

    def __init__(self, key: Key, principal: Principal, checked_at: float) -> None:
        self.key = key
        self.principal = principal
        self.checked_at = checked_at
        self.is_used = True


class _Watch:
    """Somebody who is to be told when a key ends."""

    __slots__ = ("key_id", "on_end", "tenant_id")

    def __init__(self, tenant_id: Uid, key_id: Uid, on_end: Callable[[], None]) -> None:
        self.tenant_id = tenant_id
        self.key_id = key_id
        self.on_end = on_end


class Keys:
    """The verbs of keys.

    A key that the store confirmed less than KEY_CACHE_SECONDS ago is taken from memory, and `keep_fresh` confirms those
    in use in the background, one statement a tenant: so a request costs no query, and a revoked key stops working
    within a second on every process.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._entries: dict[Uid, _Entry] = {}
        self._watches: set[_Watch] = set()
        self._revocations = 0  # how many there were here: what was loaded before one is not kept after it

    async def authenticate(self, text: str) -> Principal:
        """Whom the text of a key stands for. Raises AuthenticationFailed; compares in constant time."""
        parts = credential.read_text(text)
        if parts is None:
            raise AuthenticationFailed
        entry = await self._usable(parts.tenant_id, parts.key_id)
        if not credential.matches(parts.secret, entry.key.secret_hash):
            raise AuthenticationFailed
        entry.is_used = True
        return entry.principal

    async def check(self, tenant_id: Uid, key_id: Uid) -> None:
        """Raise AuthenticationFailed when that key is not there, revoked or expired: for what was signed for it."""
        (await self._usable(tenant_id, key_id)).is_used = True

    async def _usable(self, tenant_id: Uid, key_id: Uid) -> _Entry:
        entry = self._entries.get(key_id)
        if entry is None or time.monotonic() - entry.checked_at > limits.KEY_CACHE_SECONDS:
            entry = await self._load(tenant_id, key_id)
        if entry.key.tenant_id != tenant_id:
            raise AuthenticationFailed
        if entry.key.expires_at is not None and entry.key.expires_at <= times.now():
            raise AuthenticationFailed
        return entry

    async def _load(self, tenant_id: Uid, key_id: Uid) -> _Entry:
        asked_at, revocations = time.monotonic(), self._revocations
        found = await self._store.keys.load(tenant_id, [key_id])
        if not found:
            self._entries.pop(key_id, None)
            raise AuthenticationFailed
        entry = _Entry(*found[0], asked_at)
        if revocations == self._revocations:
            if len(self._entries) >= limits.KEY_CACHE_ENTRIES:
                self._entries.clear()
            self._entries[key_id] = entry
        return entry

    async def refresh(self) -> None:
        """Confirm the keys used since the last refresh, and those that are watched; forget the others."""
        used: dict[Uid, set[Uid]] = defaultdict(set)
        for watch in self._watches:
            used[watch.tenant_id].add(watch.key_id)
        for key_id, entry in list(self._entries.items()):
            if entry.is_used:
                used[entry.key.tenant_id].add(key_id)
            elif time.monotonic() - entry.checked_at > limits.KEY_CACHE_SECONDS:
                del self._entries[key_id]
        for tenant_id, key_ids in used.items():
            asked_at = time.monotonic()
            found = await self._store.keys.load(tenant_id, list(key_ids))
            confirmed = {key.id: (key, principal) for key, principal in found}
            for key_id in key_ids:
                if key_id not in confirmed:
                    self._end(key_id)
                elif key_id in self._entries:  # else it was revoked here meanwhile
                    entry = self._entries[key_id] = _Entry(*confirmed[key_id], asked_at)
                    entry.is_used = False

    async def keep_fresh(self) -> None:
        """Refresh twice in the life of a cached key, until cancelled. A store that is away is asked again."""
        while True:
            await asyncio.sleep(limits.KEY_CACHE_SECONDS / 2)
            with contextlib.suppress(StoreError):
                await self.refresh()

    async def create(
        self,
        tenant_id: Uid,
        participant: str | None = None,
        scope: str | None = None,
        session_id: str | None = None,
        expires_at: int | None = None,
        label: str | None = None,
    ) -> tuple[Key, str]:
        """Make a key; its text is given back here and never again.

        Without a scope it is `participant` when a participant is named, else `tenant`. A participant is made when it is
        new. Raises TenantNotFound, and InvalidInput for a combination that means nothing.
        """
        if await self._store.tenants.find(tenant_id) is None:
            raise TenantNotFound
        scope = scope or (credential.PARTICIPANT if participant is not None else credential.TENANT)
        _check_combination(scope, participant, session_id)
        _check_texts(participant, session_id, label)
        who = None
        if participant is not None:
            who, _ = await self._store.participants.ensure(tenant_id, participants.PEER, participant)
        secret = credential.new_secret()
        key = Key(
            id=new_uid7(),
            tenant_id=tenant_id,
            participant_id=who.id if who else None,
            participant_name=participant,
            session_id=session_id,
            scope=scope,
            label=label,
            secret_hash=credential.hash_of(secret),
            created_at=times.now(),
            expires_at=expires_at,
            revoked_at=None,
        )
        await self._store.keys.create(key)
        return key, credential.write_text(tenant_id, key.id, secret)

    async def revoke(self, tenant_id: Uid, key_id: Uid) -> None:
        """End a key: at once in this process, within a second in every other. Raises KeyNotFound."""
        await self._store.keys.revoke(tenant_id, key_id)
        self._revocations += 1
        self._end(key_id)

    def forget(self, tenant_id: Uid) -> None:
        """Look again for every key of a tenant, of which some have ended here otherwise: with whom they stood for."""
        self._revocations += 1
        for key_id, entry in list(self._entries.items()):
            if entry.key.tenant_id == tenant_id:
                del self._entries[key_id]

    @contextlib.contextmanager
    def watched(self, principal: Principal, on_end: Callable[[], None]) -> Iterator[None]:
        """While inside, `on_end` is called when the key of a caller ends: at once here, else within a second."""
        if principal.key_id is None:  # nobody is asked for one
            yield
            return
        entry = self._entries.get(principal.key_id)  # an administrator may be calling in another tenant than its own
        home = principal.tenant_id if entry is None else entry.key.tenant_id
        watch = _Watch(home, principal.key_id, on_end)
        self._watches.add(watch)
        try:
            yield
        finally:
            self._watches.discard(watch)

    def _end(self, key_id: Uid) -> None:
        self._entries.pop(key_id, None)
        for watch in [watch for watch in self._watches if watch.key_id == key_id]:
            self._watches.discard(watch)
            watch.on_end()

    async def open_principal(self) -> Principal:
        """The administrator of the first tenant, who is everybody while authentication is off."""
        tenants, _ = await self._store.tenants.list(Slice(0, 1))
        if not tenants:
            raise TenantNotFound
        first = tenants[0]
        who, _ = await self._store.participants.ensure(first.id, participants.PEER, participants.DEFAULT_USER_NAME)
        return Principal(first.id, first.name, first.agent_name, credential.ADMIN, who.id, who.name)

    async def get(self, tenant_id: Uid, key_id: Uid) -> Key:
        """The key of that id, unless it is revoked. Raises KeyNotFound."""
        key = await self._store.keys.find(tenant_id, key_id)
        if key is None:
            raise KeyNotFound
        return key

    async def page(self, tenant_id: Uid, after: Uid | None, limit: int) -> list[Key]:
        """Keys that are not revoked, in order of making, behind the one of that id."""
        return await self._store.pages.keys(tenant_id, after, limit)

    async def list(self, tenant_id: Uid) -> list[Key]:
        """The keys of a tenant that are not revoked, oldest first."""
        return await self._store.keys.list(tenant_id)


def _check_combination(scope: str, participant: str | None, session_id: str | None) -> None:
    if scope not in credential.SCOPES:
        raise InvalidInput(f"the scope is one of {', '.join(credential.SCOPES)}", field="scope")
    if scope == credential.PARTICIPANT and participant is None:
        raise InvalidInput("the scope participant needs a participant", field="participant")
    if (scope == credential.SESSION) != (session_id is not None):
        raise InvalidInput("the scope session needs a session, and no other scope takes one", field="session")


def _check_texts(participant: str | None, session_id: str | None, label: str | None) -> None:
    if participant is not None and not texts.check_text(participant, "participant", limits.NAME_CHARACTERS):
        raise InvalidInput("a participant's name has at least one character", field="participant")
    if session_id is not None and not texts.is_client_id(session_id):
        raise InvalidInput(f"a session's id is 1 to {limits.CLIENT_ID_CHARACTERS} characters", field="session")
    if label is not None:
        texts.check_text(label, "label", limits.KEY_LABEL_CHARACTERS)
