"""`python -m dianet_ray`: the command, also where the console script is not installed."""

from dianet_ray.cli.app import main

if __name__ == "__main__":
    main()
