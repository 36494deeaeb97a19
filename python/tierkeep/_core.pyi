__version__: str

from collections.abc import Callable, Sequence
from typing import Any

_Answer = tuple[int, Any, str, str | None, int | None, int | None]

class NodeClient:
    def __new__(
        cls,
        nodes: Sequence[str],
        *,
        token: str | None = None,
        connect_timeout: float = 0.2,
        timeout: float = 1.0,
        bound: float = 1.0,
        max_stale: float = 3600.0,
        kept_bytes: int = 8388608,
        max_body: int = 67108864,
    ) -> NodeClient: ...
    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        learner: str | None = None,
        position: int = 0,
        idempotency_key: str | None = None,
        is_write: bool = False,
    ) -> _Answer: ...
    def kept(self, path: str, learner: str | None = None, position: int = 0) -> _Answer | None: ...
    def submit(
        self,
        done: Callable[[_Answer | None, BaseException | None], object],
        method: str,
        path: str,
        body: bytes | None = None,
        learner: str | None = None,
        position: int = 0,
        idempotency_key: str | None = None,
        is_write: bool = False,
    ) -> None: ...
    def forget(self, learner: str | None = None) -> None: ...
    def counts(self) -> dict[str, int]: ...
    def close(self, limit: float) -> bool: ...
