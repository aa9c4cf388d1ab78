"""Spaces: which datapath texts each role of a network may have, and which combinations are allowed."""

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hwq.datapath import Datapath
from hwq.errors import HwqError

__all__ = ["Assignment", "Choices", "Rule", "Space", "assignment_key", "choices"]

Assignment = Mapping[str, str]
"""An ordered mapping {role: canonical datapath text}, for example {"first": "...", "body": "...", "last": "..."}."""

Rule = Callable[[Assignment], bool]


def assignment_key(assignment: Assignment) -> str:
    """The text a store keeps for an assignment: JSON with the roles in their order."""
    return json.dumps(dict(assignment), separators=(",", ":"))


class Choices(tuple[str, ...]):
    """Distinct canonical datapath texts, in the order in which they were given.

    Members:
        dropped: one line "text: reason" for each combination that is no datapath and was left out on request.
    """

    dropped: tuple[str, ...]

    def __new__(cls, texts: Sequence[str], dropped: Sequence[str] = ()) -> "Choices":
        """Keep the texts as they are; `choices` is the constructor that checks them."""
        self = super().__new__(cls, texts)
        self.dropped = tuple(dropped)
        return self


def choices(template: str, fields: Mapping[str, Sequence[str | int]], invalid: str = "refuse") -> Choices:
    """Every combination of `fields` put into `template`, as canonical datapath texts without repeats.

    `template` names its fields in braces: "{a}*{w} +{acc} @{size}x{size}" with {"a": [...], "w": [...], ...}; the last
    field varies fastest. A combination that is no datapath is refused (`invalid="refuse"`) or listed in `.dropped`
    ("drop").

    Example: 2 activation formats times 3 weight formats are 6 texts.
    """
    if invalid not in ("refuse", "drop"):
        raise HwqError(f'invalid must be "refuse" or "drop", not {invalid!r}')
    for name, values in fields.items():
        if not values or isinstance(values, str):
            raise HwqError(f"field {name!r} must have a list of at least one value, not {values!r}")
    texts: dict[str, None] = {}
    dropped = []
    for values in itertools.product(*fields.values()):
        text = _filled(template, dict(zip(fields, values, strict=True)))
        try:
            texts[str(Datapath.parse(text))] = None
        except HwqError as error:
            dropped.append(f"{text}: {error}")
    total = math.prod(len(values) for values in fields.values())
    if dropped and (invalid == "refuse" or not texts):
        count = f"{len(dropped)} of {total}"
        raise HwqError(f"every combination must be a datapath, but {count} are not; the first is {dropped[0]}")
    return Choices(tuple(texts), dropped)


def _filled(template: str, values: Mapping[str, str | int]) -> str:
    try:
        return template.format(**values)
    except (KeyError, IndexError, ValueError) as error:
        raise HwqError(f"template {template!r} must name only the fields {', '.join(values)}, not {error}") from None


@dataclass(frozen=True)
class Space:
    """The assignments of a network: one datapath text per role, all combinations that every rule allows.

    An assignment has a fixed place in the space, its *index* in the plain product of the choices (last role fastest);
    indices of forbidden combinations are left out. Iteration runs in the order of the indices.

    Members:
        roles: {role: distinct canonical texts}, in the order of the assignment.
        rules: {what must hold, in words: predicate}. The words, not the code, identify the rule in a store.
    """

    roles: Mapping[str, Choices]
    rules: Mapping[str, Rule] = field(default_factory=dict)

    @classmethod
    def of(cls, roles: Mapping[str, Sequence[str]], rules: Mapping[str, Rule] | None = None) -> "Space":
        """Check and canonicalise every text; equal datapaths of one role become one choice."""
        if not roles:
            raise HwqError("a space must have at least one role, not 0")
        return cls({role: _checked(role, texts) for role, texts in roles.items()}, dict(rules or {}))

    @classmethod
    def product(
        cls,
        template: str,
        fields: Mapping[str, Sequence[str | int]],
        roles: Sequence[str] = ("body",),
        invalid: str = "refuse",
    ) -> "Space":
        """The space in which each of `roles` has every combination of `fields` (see `choices`)."""
        found = choices(template, fields, invalid)
        return cls.of(dict.fromkeys(roles, found))

    @property
    def combinations(self) -> int:
        """Number of combinations before the rules."""
        return math.prod(len(texts) for texts in self.roles.values())

    @property
    def dropped(self) -> tuple[str, ...]:
        """The combinations that the builders of the roles left out, as "text: reason", each once."""
        return tuple(dict.fromkeys(line for texts in self.roles.values() for line in texts.dropped))

    def __len__(self) -> int:
        """Number of allowed assignments; with rules this visits every combination."""
        return sum(1 for _ in self) if self.rules else self.combinations

    def __iter__(self) -> Iterator[Assignment]:
        """All allowed assignments by ascending index."""
        found = (self._at(index) for index in range(self.combinations))
        return (assignment for assignment in found if self.allows(assignment))

    def at_most(self, count: int) -> bool:
        """Whether at most `count` assignments are allowed, found without visiting more than it takes."""
        if not self.rules:
            return self.combinations <= count
        return sum(1 for _ in itertools.islice(self, count + 1)) <= count

    def assignment(self, index: int) -> Assignment:
        """The assignment at an index of the plain product; HwqError outside the range or where a rule forbids it."""
        if not 0 <= index < self.combinations:
            raise HwqError(f"index must be between 0 and {self.combinations - 1}, not {index}")
        found = self._at(index)
        for words, rule in self.rules.items():
            if not rule(found):
                raise HwqError(f"index must name an allowed assignment, not {index}, which breaks {words!r}")
        return found

    def index(self, assignment: Assignment) -> int:
        """The place of an assignment: `assignment(index(x)) == x`."""
        if list(assignment) != list(self.roles):
            raise HwqError(f"an assignment must have the roles {', '.join(self.roles)}, not {', '.join(assignment)}")
        place = 0
        for role, texts in self.roles.items():
            if assignment[role] not in texts:
                raise HwqError(f"{role} must be one of the {len(texts)} choices of the space, not {assignment[role]!r}")
            place = place * len(texts) + texts.index(assignment[role])
        return place

    def next(self, start: int, wanted: Rule) -> Assignment | None:
        """The first wanted one of all combinations from the index `start` on and round again; None if there is none."""
        places = itertools.chain(range(start, self.combinations), range(start))
        return next((found for found in map(self._at, places) if wanted(found)), None)

    def allows(self, assignment: Assignment) -> bool:
        """Whether every rule holds."""
        return all(rule(assignment) for rule in self.rules.values())

    @property
    def digest(self) -> str:
        """sha256 of roles, choices and rules' words: equal spaces have equal digests in every process."""
        content = json.dumps([[[role, list(texts)] for role, texts in self.roles.items()], list(self.rules)])
        return hashlib.sha256(content.encode()).hexdigest()

    def __str__(self) -> str:
        rules = "".join(f", {words}" for words in self.rules)
        return " x ".join(f"{role}({len(texts)})" for role, texts in self.roles.items()) + rules

    def _at(self, index: int) -> Assignment:
        digits = []
        for texts in reversed(list(self.roles.values())):
            index, digit = divmod(index, len(texts))
            digits.append(texts[digit])
        return dict(zip(self.roles, reversed(digits), strict=True))


def _checked(role: str, texts: Sequence[str]) -> Choices:
    if isinstance(texts, str) or not texts:
        raise HwqError(f"role {role!r} must have a list of at least one datapath text, not {texts!r}")
    if isinstance(texts, Choices):
        return texts
    return Choices(tuple(dict.fromkeys(str(Datapath.parse(text)) for text in texts)))
