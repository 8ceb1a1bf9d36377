"""Examples of the bodies of this wire, for its document; a test holds each against its schema."""

from __future__ import annotations

from typing import Any

_SESSION_ID, _CHAT_ID = "fa9c1516-35f0-4efd-a62c-01af26324e72", "24830c6c-76d8-43be-ae22-1dfd545421ab"
_OTHER_CHAT_ID, _ACCOUNT_ID = "5b0d0f0e-1c1b-4a53-9d6b-0a4f3b6f8d11", "0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a01"
_RUN_ID, _MOMENT, _MILLIS = "wrun_01KVWZNM82NA7XKNEWWHG8VPHJ", "2026-08-21T10:00:00Z", 1787306400000
_ASKED = {"id": "m-1", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}
_ANSWERED = {
    "id": "msg-0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a02",
    "role": "assistant",
    "parts": [{"type": "step-start"}, {"type": "text", "text": "Good morning.", "state": "done"}],
}
_CHAT: dict[str, Any] = {
    "id": _CHAT_ID,
    "sessionId": _SESSION_ID,
    "title": "New chat",
    "modelId": "SmolLM2-135M-Instruct",
    "activeStreamId": None,
    "lastAssistantMessageAt": None,
    "createdAt": _MOMENT,
    "updatedAt": _MOMENT,
}
_ITEM: dict[str, Any] = {
    "id": _SESSION_ID,
    "title": "Hello",
    "status": "running",
    "repoOwner": None,
    "repoName": None,
    "branch": None,
    "linesAdded": 0,
    "linesRemoved": 0,
    "createdAt": _MOMENT,
    "lastActivityAt": None,
}
_SESSION: dict[str, Any] = {
    **_ITEM,
    "userId": _ACCOUNT_ID,
    "artistId": None,
    "cloneUrl": f"https://github.com/recoupable/{_ACCOUNT_ID}",
    "isNewBranch": False,
    "globalSkillRefs": [],
    "sandboxState": {"type": "vercel"},
    "lifecycleState": "provisioning",
    "lifecycleVersion": 0,
    "sandboxExpiresAt": None,
    "hibernateAfter": None,
    "lifecycleRunId": None,
    "lifecycleError": None,
    "snapshotUrl": None,
    "snapshotCreatedAt": None,
    "snapshotSizeBytes": None,
    "cachedDiff": None,
    "cachedDiffUpdatedAt": None,
    "updatedAt": _MOMENT,
}
_LIFECYCLE = {
    "serverTime": _MILLIS,
    "state": "active",
    "lastActivityAt": _MILLIS,
    "hibernateAfter": _MILLIS + 300_000,
    "sandboxExpiresAt": _MILLIS + 1_800_000,
}
_ROOM = {
    "id": _CHAT_ID,
    "account_id": _ACCOUNT_ID,
    "artist_id": None,
    "topic": "Tour dates",
    "updated_at": _MOMENT,
}

EXAMPLES: dict[str, Any] = {
    "CreateSessionRequest": {"title": "Hello"},
    "CreateSessionResponse": {"session": _SESSION, "chat": _CHAT},
    "GetSessionResponse": {"session": _SESSION},
    "UpdateSessionRequest": {"status": "archived"},
    "ListSessionsResponse": {
        "sessions": [{**_ITEM, "hasUnread": False, "hasStreaming": False, "latestChatId": _CHAT_ID}]
    },
    "DeleteSessionResponse": {"success": True},
    "ListSessionChatsResponse": {
        "chats": [{**_CHAT, "hasUnread": False, "isStreaming": False}],
        "defaultModelId": "SmolLM2-135M-Instruct",
    },
    "CreateSessionChatRequest": {"id": _CHAT_ID},
    "CreateSessionChatResponse": {"chat": _CHAT},
    "GetSessionChatResponse": {"chat": _CHAT, "isStreaming": False, "messages": [_ASKED, _ANSWERED]},
    "UpdateSessionChatRequest": {"title": "Tour dates"},
    "DeleteSessionChatResponse": {"success": True},
    "MarkSessionChatReadResponse": {"success": True},
    "StartTurnRequest": {"sessionId": _SESSION_ID, "chatId": _CHAT_ID, "messages": [_ASKED]},
    "StopTurnResponse": {"success": True, "stopped": True},
    "StartRunRequest": {"prompt": "Write a haiku."},
    "StartRunResponse": {"runId": _RUN_ID, "chatId": _CHAT_ID, "sessionId": _SESSION_ID},
    "GetRunResponse": {"runId": _RUN_ID, "status": "running"},
    "CreateSandboxRequest": {"repoUrl": "https://github.com/recoupable/demo", "sessionId": _SESSION_ID},
    "CreateSandboxResponse": {
        "createdAt": _MILLIS,
        "timeout": 1_800_000,
        "currentBranch": "main",
        "mode": "vercel",
        "timing": {"readyMs": 12},
    },
    "SandboxStatusResponse": {
        "status": "active",
        "hasSnapshot": False,
        "lifecycleVersion": 1,
        "lifecycle": _LIFECYCLE,
    },
    "ReconnectSandboxResponse": {"status": "connected", "hasSnapshot": False, "lifecycle": _LIFECYCLE},
    "ListSandboxesResponse": {
        "status": "success",
        "sandboxes": [],
        "snapshot_id": None,
        "github_repo": None,
        "filetree": None,
    },
    "DeleteSandboxesResponse": {"status": "success", "deleted_snapshot": None},
    "ListChatsResponse": {
        "status": "success",
        "chats": [
            {
                "id": _CHAT_ID,
                "title": "Tour dates",
                "accountId": _ACCOUNT_ID,
                "sessionId": _SESSION_ID,
                "updatedAt": _MOMENT,
                "artistId": None,
            }
        ],
    },
    "PutRoomRequest": {"chatId": _CHAT_ID, "topic": "Tour dates"},
    "RoomResponse": {"status": "success", "chat": _ROOM},
    "UpdateRoomRequest": {"chatId": _CHAT_ID, "topic": "Tour dates"},
    "DeleteRoomRequest": {"id": _CHAT_ID},
    "DeleteRoomResponse": {"status": "success", "id": _CHAT_ID, "message": "Chat deleted successfully"},
    "CompactRequest": {"chatId": [_CHAT_ID]},
    "CompactResponse": {"chats": [{"chatId": _CHAT_ID, "compacted": "They greeted each other."}]},
    "ListMemoriesResponse": {
        "data": [
            {
                "id": "0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a03",
                "room_id": _CHAT_ID,
                "content": {"role": "user", "parts": [{"type": "text", "text": "Hello"}], "content": "Hello"},
                "updated_at": _MOMENT,
            }
        ]
    },
    "DeleteTrailingResponse": {
        "status": "success",
        "chat_id": _CHAT_ID,
        "from_message_id": "0199c1aa-3c5e-7d10-8b6f-2f1f6f0c9a03",
    },
    "CopyMessagesRequest": {"targetChatId": _OTHER_CHAT_ID},
    "CopyMessagesResponse": {
        "status": "success",
        "source_chat_id": _CHAT_ID,
        "target_chat_id": _OTHER_CHAT_ID,
        "copied_count": 2,
        "cleared_existing": True,
    },
    "RoomArtistResponse": {"status": "success", "room_id": _CHAT_ID, "artist_id": None, "artist_exists": False},
}
"""By the name of the schema."""
