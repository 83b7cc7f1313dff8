"""The strict reader of requests.jsonl: hand-written conversations, each with its gold clause."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from stages.lib import jsonl
from stages.lib.errors import StageError
from stages.lib.records import Message, Policy, Record, content_id


class RequestLine(Record):
    """One line of requests.jsonl."""

    clause: str | None = None
    """Gold clause id; absent for benign requests."""
    split: Literal["train", "eval"]
    pair: str | None = None
    """Name of a contrast pair."""
    conversation: tuple[Message, ...]


class Request(NamedTuple):
    """A checked request and where it stands."""

    line: RequestLine
    where: str
    example: bool = False
    """Whether it stands in a policy instead of in requests.jsonl."""

    @property
    def id(self) -> str:
        """The `request_id` of its prompts."""
        return content_id(self.line.conversation)


def read_requests(path: Path, policy: Policy | None) -> list[Request]:
    """Every request of one file; `policy` None means benign, where no clause is named."""
    if not path.exists():
        raise StageError(f"{path} does not exist", "write requests for this category, or take it out of conf/spec")
    remedy = "write at least one train and one eval request, or take the category out of conf/spec"
    requests = _checked(path, policy, remedy)
    _check_splits(requests, path)
    return requests


def read_extra(path: Path, policy: Policy | None) -> list[Request]:
    """Further train requests; none where the file is missing."""
    requests = _checked(path, policy, "write train requests, or remove the file") if path.exists() else []
    for request in requests:
        if request.line.split != "train":
            raise StageError(f"{request.where}: a held-out request", "move it to requests.jsonl, which every scale answers")
    return requests


def _checked(path: Path, policy: Policy | None, remedy: str) -> list[Request]:
    requests = [Request(line, f"{path}:{number}") for number, line in enumerate(_lines(path), start=1)]
    if not requests:
        raise StageError(f"{path}: holds no request", remedy)
    for request in requests:
        _check_turns(request)
        _check_clause(request, policy)
    _check_pairs(requests)
    return requests


def requests_of_examples(policy: Policy) -> list[Request]:
    """A train request for every example that the policy gives of a clause, in the example's own words."""
    return [
        Request(
            RequestLine(clause=clause.id, split="train", conversation=(Message(role="user", content=example),)),
            f"specs/{policy.category}, an example of clause {clause.id}",
            example=True,
        )
        for clause in policy.clauses
        for example in clause.examples
    ]


def refuse_duplicates(requests: Iterable[Request]) -> None:
    """The same conversation twice, in whatever files: it could stand on both sides of the train/eval line."""
    seen: dict[str, str] = {}
    for request in requests:
        words = " | ".join(" ".join(turn.content.casefold().split()) for turn in request.line.conversation)
        if words in seen:
            raise StageError(f"{request.where}: the same conversation stands at {seen[words]}", "remove one of the two lines")
        seen[words] = request.where


def _lines(path: Path) -> list[RequestLine]:
    try:
        return list(jsonl.read_many(path, RequestLine))
    except StageError as error:
        raise StageError(
            error.what, "mend that line: one JSON object with clause, split, pair and conversation (specs/README.md)"
        ) from None


def _check_turns(request: Request) -> None:
    turns = request.line.conversation
    roles = [turn.role for turn in turns]
    expected = ["user" if index % 2 == 0 else "assistant" for index in range(len(turns))]
    if roles != expected or len(roles) % 2 == 0:
        raise StageError(
            f"{request.where}: the turns are {roles or 'none'}", "begin and end with the user, taking turns with the assistant"
        )
    if not all(turn.content.strip() for turn in turns):
        raise StageError(f"{request.where}: a turn is empty", "write its text")


def _check_clause(request: Request, policy: Policy | None) -> None:
    name = request.line.clause
    if policy is None and name is not None:
        raise StageError(f"{request.where}: a benign request names clause {name!r}", "remove the clause: no policy covers these")
    if policy is not None and policy.clause(name) is None:
        known = ", ".join(clause.id for clause in policy.clauses)
        raise StageError(f"{request.where}: clause {name!r} is not in the policy `{policy.category}`", f"name one of {known}")


def _check_splits(requests: Sequence[Request], path: Path) -> None:
    for split in ("train", "eval"):
        if not any(request.line.split == split for request in requests):
            raise StageError(f"{path}: no request has split {split!r}", f"mark some requests as {split}")


def _check_pairs(requests: Sequence[Request]) -> None:
    pairs: dict[str, list[Request]] = {}
    for request in requests:
        if request.line.pair is not None:
            pairs.setdefault(request.line.pair, []).append(request)
    for name, members in pairs.items():
        if len(members) != 2 or members[0].line.split != members[1].line.split:
            places = ", ".join(member.where for member in members)
            raise StageError(f"{places}: pair {name!r} must be two requests of one split", "complete, split or rename the pair")
