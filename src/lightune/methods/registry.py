"""The table of methods; each method's file registers itself here."""

from __future__ import annotations

from lightune.methods.base import Method
from lightune.registry import Registry

METHODS: Registry[type[Method]] = Registry("method")
register = METHODS.register
