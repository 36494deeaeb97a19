"""What can go wrong between this process and a node."""

from __future__ import annotations

from typing import Any

__all__ = [
    "BadRequest",
    "Conflict",
    "LearnerNotFound",
    "NodeFailed",
    "NodeUnavailable",
    "NotFound",
    "NotPermitted",
    "TierkeepError",
    "TooManyRequests",
    "UnexpectedAnswer",
    "expected",
    "expected_list",
    "of_answer",
]


class TierkeepError(Exception):
    """Every failure of a call to a node.

    ``status`` is the status of the answer (0: there was none), ``problem`` the problem document of RFC 9457 or ``{}``.
    """

    def __init__(self, message: str, *, status: int = 0, problem: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.problem: dict[str, Any] = problem or {}

    @property
    def type(self) -> str | None:
        """The stable name of the kind of problem, ``urn:tierkeep:problem:...``; None when no node said one."""
        return self.problem.get("type")


class NodeUnavailable(TierkeepError):
    """No node answered in time, and nothing that is kept may stand in for an answer."""


class UnexpectedAnswer(TierkeepError):
    """What answered is no node, or a node of a version that does not know the question."""


class NodeFailed(TierkeepError):
    """The node failed inside; its log says why."""


class BadRequest(TierkeepError, ValueError):
    """The node cannot read an argument, or it is out of range; the text says what is accepted."""


class NotPermitted(TierkeepError):
    """The token is missing or unknown, or its scope is too small."""


class NotFound(TierkeepError, LookupError):
    """There is no such session, course, run or task."""


class LearnerNotFound(NotFound):
    """The node knows no such learner."""


class Conflict(TierkeepError):
    """A write contradicts what is stored, or the same is at work already."""


class TooManyRequests(TierkeepError):
    """The node was asked too often."""


_OTHER_VERSION = "is the node of another version than this client?"
_LEARNER = "urn:tierkeep:problem:unknown-learner"
_VERSION = frozenset({"urn:tierkeep:problem:unknown-path", "urn:tierkeep:problem:wrong-method"})
_HINT = (
    'start a node with `tierkeep serve`, or name a running one: TIERKEEP["NODE"], or TIERKEEP_NODE in the environment'
)


def expected(value: Any, *fields: str) -> dict[str, Any]:
    """The value, which has to be an object with these fields at least: a node of another version may answer otherwise.

    Raises UnexpectedAnswer.
    """
    if not isinstance(value, dict):
        raise UnexpectedAnswer(f"the node's answer is {_kind(value)} where an object is due; {_OTHER_VERSION}")
    missing = [name for name in fields if name not in value]
    if missing:
        raise UnexpectedAnswer(f"the node's answer has no {', '.join(map(repr, missing))}; {_OTHER_VERSION}")
    return value


def expected_list(value: Any) -> list[dict[str, Any]]:
    """The value, which has to be an array of objects. Raises UnexpectedAnswer."""
    if not isinstance(value, list):
        raise UnexpectedAnswer(f"the node's answer is {_kind(value)} where an array is due; {_OTHER_VERSION}")
    return [expected(one) for one in value]


def _kind(value: Any) -> str:
    return "empty" if value is None else f"of the type {type(value).__name__}"


def of_answer(status: int, value: Any) -> TierkeepError:
    """The exception for an answer that is no success.

    ``status`` is that of HTTP; 0: no node answered, below 0: what answered is no node, and ``value`` says why.
    """
    if status == 0:
        return NodeUnavailable(f"{value}; {_HINT}")
    if status < 0:
        return UnexpectedAnswer(str(value))
    problem = value if isinstance(value, dict) else {}
    kind = problem.get("type")
    text = str(problem.get("detail") or problem.get("title") or f"status {status}")
    error: type[TierkeepError]
    if kind in _VERSION:
        error, text = UnexpectedAnswer, f"{text}; {_OTHER_VERSION}"
    elif kind == _LEARNER:
        error = LearnerNotFound
    elif not kind:
        error, text = UnexpectedAnswer, f"status {status} without a problem document; is this a node?"
    elif status == 404:
        error = NotFound
    elif status in (401, 403):
        error = NotPermitted
    elif status in (409, 412):
        error = Conflict
    elif status == 429:
        error = TooManyRequests
    elif status in (502, 503, 504):
        error = NodeUnavailable
    elif status >= 500:
        error = NodeFailed
    else:
        error = BadRequest
        if problem.get("errors"):
            faults = (f"{fault.get('field')}: {fault.get('accepted')}" for fault in problem["errors"])
            text = f"{text} (accepted: {'; '.join(faults)})"
    return error(text, status=status, problem=problem)
