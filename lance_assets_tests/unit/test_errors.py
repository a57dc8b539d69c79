"""One readable line out of what Python, Ray and Ray Data say. The texts are real ones of Ray 2.55, shortened."""

import pytest

from lance_assets.errors import in_one_line

HEAD = "ray.exceptions.RayTaskError(%s): \x1b[36mray::f()\x1b[39m (pid=1, ip=127.0.0.1)\n"
CODE = '  File "/x.py", line 8, in f\n    raise BadInput("x")\n    ^^^^^^^^^^^^\n'
CHAIN = "\nThe above exception was the direct cause of the following exception:\n\n\x1b[36mray::f()\x1b[39m (pid=1)\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("lance_assets.errors.BadInput: there is no file x\n", "there is no file x"),
        ("OSError: not found\n second line, x.rs:12", "OSError: not found"),
        ("  \n", "no reason was given"),
        (HEAD % "BadInput" + CODE + "lance_assets.errors.BadInput: recipe x: is wrong\n", "recipe x: is wrong"),
        (
            HEAD % "OSError" + CODE + "OSError: LanceError(IO): no object\n second line, x.rs:12",
            "OSError: LanceError(IO): no object",
        ),
        (
            HEAD % "BadInput"
            + "ZeroDivisionError: division by zero\n"
            + CHAIN
            + CODE
            + "lance_assets.errors.BadInput: no",
            "no",
        ),
        (
            "\x1b[36mray::Map(f)()\x1b[39m\n"
            + CODE
            + "OSError: disk is full\n"
            + CHAIN
            + CODE
            + "ray.exceptions.UserCodeException: UDF failed to process a data block.",
            "OSError: disk is full",
        ),
        (
            HEAD % "X" + "  no line says what was raised",
            "ray.exceptions.RayTaskError(X): ray::f() (pid=1, ip=127.0.0.1)",
        ),
    ],
)
def test_an_error_is_one_line_without_colours_and_traceback(text, line):
    assert in_one_line(text) == line
