"""`dbutils.widgets`: a notebook's parameters. Kernel side; knows nothing of Spark.

A run's parameters win over what a widget is given as its default, and can be read without any widget, as in a
Databricks job.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class InputWidgetNotDefined(Exception):
    """There is neither a widget nor a parameter of this name."""


class Widgets:
    """The widgets of one notebook, with the parameters of its run."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._told = dict(parameters)
        self._defaults: dict[str, str] = {}

    def text(self, name: str, defaultValue: str, label: str | None = None) -> None:
        """A widget for any text."""
        self._define(name, defaultValue)

    def dropdown(self, name: str, defaultValue: str, choices: Sequence[str], label: str | None = None) -> None:
        """A widget for one of `choices`; its default must be one of them."""
        self._define_choice("dropdown", name, defaultValue, choices)

    def combobox(self, name: str, defaultValue: str, choices: Sequence[str], label: str | None = None) -> None:
        """A widget for one of `choices` or another text."""
        self._define(name, defaultValue)

    def multiselect(self, name: str, defaultValue: str, choices: Sequence[str], label: str | None = None) -> None:
        """A widget for some of `choices`, read as one text with commas."""
        self._define_choice("multiselect", name, defaultValue, choices)

    def get(self, name: str) -> str:
        """The value of a widget or parameter. Raises InputWidgetNotDefined."""
        values = self.getAll()
        if name not in values:
            raise InputWidgetNotDefined(f"No input widget named {name} is defined")
        return values[name]

    def getArgument(self, name: str, defaultValue: str | None = None) -> str:
        """The value of a widget or parameter, else `defaultValue`, which then stays the widget's."""
        if name not in self.getAll() and defaultValue is not None:
            self._define(name, defaultValue)
        return self.get(name)

    def getAll(self) -> dict[str, str]:
        """All values by name."""
        return {**self._defaults, **self._told}

    def remove(self, name: str) -> None:
        """Forget a widget and its value. Raises InputWidgetNotDefined."""
        self.get(name)
        self._defaults.pop(name, None)
        self._told.pop(name, None)

    def removeAll(self) -> None:
        """Forget all widgets and their values."""
        self._defaults.clear()
        self._told.clear()

    def told(self, values: Mapping[str, str]) -> None:
        """What `%run` gives to the notebook that it includes."""
        self._told.update(values)

    def _define(self, name: str, default: str) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError("A widget needs a name.")
        self._defaults[name] = str(default)

    def _define_choice(self, kind: str, name: str, default: str, choices: Sequence[str]) -> None:
        if str(default) not in [str(choice) for choice in choices]:
            raise ValueError(f"The default value {default!r} of the {kind} widget {name} is not among its choices.")
        self._define(name, default)
