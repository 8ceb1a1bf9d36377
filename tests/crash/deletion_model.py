"""What there should be, in memory: tenants with their sessions, chats and messages, and what deletions took."""

from __future__ import annotations

import itertools

from antiphon.domain.deletions import CHAT, PARTICIPANT, TENANT
from antiphon.domain.ids import Uid
from antiphon.domain.sessions import MULTI

_NUMBERS = itertools.count()


class Said:
    """A message. One with `doomed_by` may go at any moment, and is gone once that deletion has taken hold."""

    def __init__(self, text: str, author_key: Uid, client_id: str | None) -> None:
        self.text, self.author_key, self.client_id = text, author_key, client_id
        self.doomed_by: Uid | None = None


class Room:
    """A chat: what was said, whose sockets are open, and the turn that runs."""

    def __init__(self, key: Uid, chat_id: str) -> None:
        self.key, self.id, self.number = key, chat_id, next(_NUMBERS)
        self.said: list[Said] = []
        self.sockets: dict[Uid, Uid] = {}
        self.turn: Uid | None = None


class Home:
    """A session with its chats in order of making."""

    def __init__(self, key: Uid, session_id: str, shape: str, owner_key: Uid, room: Room) -> None:
        self.key, self.id, self.shape, self.owner_key, self.rooms = key, session_id, shape, owner_key, [room]
        self.number = next(_NUMBERS)


class Lost:
    """What a deletion took that can still be undone: sessions with their chats, or a chat of one that stayed."""

    def __init__(self, kind: str, key: Uid, name: str) -> None:
        self.kind, self.key, self.name = kind, key, name
        self.homes: list[Home] = []
        self.room: tuple[Home, Room] | None = None


class Land:
    """A tenant: its sessions in order of making, who is gone from it, and what of it could be put back."""

    def __init__(self, key: Uid, name: str) -> None:
        self.key, self.name = key, name
        self.homes: list[Home] = []
        self.gone: list[Uid] = []
        self.gone_people: set[Uid] = set()
        self.waiting: dict[Uid, tuple[str, Uid]] = {}
        self.lost: dict[Uid, Lost] = {}
        self.is_there = True

    @property
    def rooms(self) -> list[Room]:
        """All chats."""
        return [room for home in self.homes for room in home.rooms]

    @property
    def restorable(self) -> list[Room]:
        """The chats that are gone and may come back."""
        found = [room for lost in self.lost.values() for home in lost.homes for room in home.rooms]
        return found + [lost.room[1] for lost in self.lost.values() if lost.room]

    def rooms_of(self, kind: str, key: Uid) -> list[Room]:
        """The chats that go with a target as a whole."""
        if kind == CHAT:
            return [room for room in self.rooms if room.key == key]
        return [room for home in self.homes if key in (home.key, home.owner_key, self.key) for room in home.rooms]

    def live(self, kind: str, key: Uid) -> tuple[int, int, bool]:
        """How many sockets and turns stand in the way of a deletion, and whether it is of a last chat."""
        rooms = self.rooms_of(kind, key) if kind != TENANT else self.rooms
        sockets, turns = sum(len(room.sockets) for room in rooms), sum(room.turn is not None for room in rooms)
        if kind == PARTICIPANT:
            sockets += sum(who == key for room in self.rooms if room not in rooms for who in room.sockets.values())
        is_last = kind == CHAT and any(
            home.shape == MULTI and [room.key for room in home.rooms] == [key] for home in self.homes
        )
        return sockets, turns, is_last

    def has(self, kind: str, key: Uid) -> bool:
        """Whether a target is there."""
        if not self.is_there or kind == TENANT:
            return self.is_there
        return key not in self.gone_people if kind == PARTICIPANT else bool(self.rooms_of(kind, key))

    def lose(self, kind: str, key: Uid, deletion_id: Uid, name: str) -> Lost:
        """The target is gone from here on: what went with it."""
        lost = Lost(kind, key, name)
        if kind == TENANT:
            self.is_there = False
            self._close(self.rooms)
            return lost
        rooms = self.rooms_of(kind, key)
        self.gone += [room.key for room in rooms]
        self._close(rooms)
        if kind == PARTICIPANT:
            self._lose_person(key, deletion_id)
        for home in list(self.homes):
            if all(room in rooms for room in home.rooms):
                lost.homes.append(home)
                self.homes.remove(home)
            elif kind == CHAT and (own := [room for room in home.rooms if room in rooms]):
                lost.room = home, own[0]
                home.rooms.remove(own[0])
        return lost

    def _lose_person(self, key: Uid, deletion_id: Uid) -> None:
        self.gone_people.add(key)
        for room in self.rooms + self.restorable:
            for said in room.said:
                said.doomed_by = deletion_id if said.author_key == key else said.doomed_by
            room.sockets = {socket: who for socket, who in room.sockets.items() if who != key}

    @staticmethod
    def _close(rooms: list[Room]) -> None:
        for room in rooms:
            room.sockets.clear()
            room.turn = None

    def can_have_back(self, lost: Lost) -> bool:
        """Whether nobody has taken its ids since, and what it belongs to is there; names are not looked at."""
        if not self.is_there:
            return False
        homes = [*lost.homes, lost.room[0]] if lost.room else lost.homes
        gone = self.gone_people - {lost.key}
        if any(home.owner_key in gone for home in homes) or (lost.room and lost.room[0] not in self.homes):
            return False
        rooms = [room for home in lost.homes for room in home.rooms] + ([lost.room[1]] if lost.room else [])
        taken = {home.id for home in self.homes} & {home.id for home in lost.homes}
        return not taken and not {room.id for room in self.rooms} & {room.id for room in rooms}

    def have_back(self, lost: Lost, deletion_id: Uid) -> None:
        """All that went with it is there again."""
        if lost.kind == TENANT:
            self.is_there = True
            return
        self.homes = sorted([*self.homes, *lost.homes], key=lambda home: home.number)
        back = [room for home in lost.homes for room in home.rooms]
        if lost.room:
            home, room = lost.room
            home.rooms = sorted([*home.rooms, room], key=lambda room: room.number)
            back.append(room)
        keys = {room.key for room in back}
        self.gone = [key for key in self.gone if key not in keys]
        self.gone_people.discard(lost.key)
        for said in (said for room in self.rooms + self.restorable for said in room.said):
            said.doomed_by = None if said.doomed_by == deletion_id else said.doomed_by
