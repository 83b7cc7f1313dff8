"""A small policy and style that parse, for tests to break."""

from __future__ import annotations

from pathlib import Path

GARDEN = """---
category: garden
title: Garden
code: GA
version: v1
summary: Weeds are fought, roses are cut.
---

## Definitions
- **Weed**: a plant nobody wants.

## Clauses

### GA1 fighting weeds
- outcome: refuse
- rule: Do not fight weeds.
- reason: They have rights.
- example: pull a weed
- example: burn a thistle

### GA2 cutting roses
- outcome: comply
- rule: Cut roses in spring.
- reason: They like it.
- example: cut a rose
- example: sharpen the shears
"""
HERE = Path("specs/garden/v1.md")
STYLE = """---
title: Styles
version: v1
---
## refuse
- opening: No.
- guideline: Be short.
## comply
- opening: Yes.
- guideline: Be useful.
## safe_complete
- opening: In general,
- guideline: Be kind.
"""
