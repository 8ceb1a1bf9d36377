"""`python -m antiphon`: the same as the command `antiphon`."""

from __future__ import annotations

from antiphon.app import main

if __name__ == "__main__":
    main()
