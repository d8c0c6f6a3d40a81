"""Starts of snakemake that share its imports: run as a program it has them, and forks for each.

A start is a line of JSON on its standard input: arguments, folder, environment and the file that
takes what is printed. The answer is a line with the exit status. All else is as of
`python -m snakemake`.
"""

import json
import os
import runpy
import sys

import jsonschema  # noqa: F401
import numpy  # noqa: F401
import pandas  # noqa: F401
import snakemake.cli


def become(arguments, folder, environment, output):
    """Turn this process into a start of snakemake."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv[1:], sys.path[0] = arguments, os.getcwd()
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    snakemake.cli.get_argument_parser()  # imports the plugins
    for line in sys.stdin:
        if not (child := os.fork()):
            become(**json.loads(line))
            break
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
