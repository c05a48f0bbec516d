"""A table whose keys follow from one of them: ``method = "ibi"`` makes [refinement] the table of that rule.

Each entry is a table of its own, derived from one that has the keys of all, and lives where its meaning is. It is
imported when a file names it, so that reading a study loads what the study needs.

    RULES = Choice("method", {"ibi": "refine.refinement.rules.ibi:IBIKeys", ...}, default="gauss-newton")

    class StudyConfig(Table):
        refinement: Annotated[SerializeAsAny[Refinement], RULES] = Field(default_factory=RULES.made)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from pydantic import GetCoreSchemaHandler, ValidationError, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from refine.tables.explain import shown
from refine.tables.table import Table
from refine.tables.values import refusal


@dataclass(frozen=True)
class Choice:
    """Annotation of a field that holds one of several tables, by the word that one of its keys has.

    Attributes:
        key: whose word chooses.
        entries: "module:class" of the table for each word.
        default: the word where the file has none; None: it has to have one.
        former: keys, and their defaults, that files of before had whatever they chose. At its default such a key is
            passed over in a table that has no use for it, and it counts among the settings that a digest is of.
    """

    key: str
    entries: Mapping[str, str]
    default: str | None = None
    former: Mapping[str, Any] = field(default_factory=dict)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The field is valid where the table that its word names is."""
        return core_schema.no_info_wrap_validator_function(self._validate, handler(source))

    def table(self, word: str) -> type[Table]:
        """The table that a word stands for; imports its module."""
        module, _, name = self.entries[word].partition(":")
        table: type[Table] = getattr(import_module(module), name)
        return table

    def of(self, value: object) -> type[Table] | None:
        """The table that a file's table asks for; None where it names none."""
        word = value.get(self.key, self.default) if isinstance(value, Mapping) else None
        return self.table(word) if isinstance(word, str) and word in self.entries else None

    def tables(self) -> dict[type[Table], list[str]]:
        """Every table with the words that stand for it; imports all of them."""
        words: dict[type[Table], list[str]] = {}
        for word in self.entries:
            words.setdefault(self.table(word), []).append(word)
        return words

    def made(self) -> Any:
        """The default table with its defaults."""
        assert self.default is not None
        return self.table(self.default)()

    def _validate(self, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        if not isinstance(value, Mapping):  # a table that was made in Python; anything else is refused
            return handler(value)
        table = self.of(value)
        if table is None:
            raise self._no_such_word(value)
        rest = [key for key in value if isinstance(key, str) and key not in table.model_fields]
        passed_over = {key for key in rest if self._written_for_all(key, value[key])}
        foreign = {key: owners for key in rest if key not in passed_over and (owners := self._owners(key))}
        made = table.model_validate({k: v for k, v in value.items() if k not in passed_over and k not in foreign})
        for key, owners in foreign.items():
            has = "has" if len(owners) == 1 else "have"
            word = shown(value.get(self.key, self.default))
            raise refusal(f"{self.key} = {word} takes no {key!r}; {' and '.join(owners)} {has} it")
        return made

    def _no_such_word(self, value: Mapping[str, Any]) -> ValidationError:
        kind: str | PydanticCustomError = "missing"
        if self.key in value:
            *others, last = map(repr, self.entries)
            kind = refusal(f"should be {', '.join(others)} or {last}")
        problem = InitErrorDetails(type=kind, loc=(self.key,), input=value.get(self.key, value))
        return ValidationError.from_exception_data("choice", [problem])

    def _written_for_all(self, key: str, value: Any) -> bool:
        if key not in self.former or isinstance(value, bool) != isinstance(self.former[key], bool):
            return False
        return bool((list(value) if isinstance(value, tuple) else value) == self.former[key])

    def _owners(self, key: str) -> list[str]:
        """Whose key it is: words, or how a table that goes by several calls itself."""
        having = {table: words for table, words in self.tables().items() if key in table.model_fields}
        return [name for table, words in having.items() for name in ([table.called] if table.called else words)]
