"""`python -m inferometer`: the same as the installed command."""

from inferometer.main import main

main()
