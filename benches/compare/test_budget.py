"""Tests of the watch over instructions: `python3 -m unittest discover -s benches/compare`."""

import tempfile
import unittest
from collections import Counter
from pathlib import Path

import budget
import callgrind
from budget import Cost

UNIT = "instructions/request"

# Two functions; the first calls the second, whose cost is not its own, and has code of another file inlined.
OUT = """# callgrind format
events: Ir
fl=(1) /somewhere/registry/src/index-0123/hyper-1.12.0/src/serve.rs
fn=(1) wicketgate::server::worker::serve::serve::h0123456789abcdef
3 100
fi=(2) /rustc/0123/library/core/src/ptr/mod.rs
+1 20
fe=(1)
cfn=(2) memcpy
calls=2 7
+2 5000
* 3

fl=(2)
fn=(2)
7 5000
fl=(1)
fn=(1)
9 7
"""


class Budget(unittest.TestCase):
    def test_a_case_within_two_percent_is_within_its_budget(self):
        self.assertEqual(budget.exceeded({"a": Cost(1020, UNIT)}, {"a": Cost(1000, UNIT)}), [])

    def test_a_case_three_percent_above_says_which_function_has_grown(self):
        counted = Cost(1030, UNIT, {"parse": 530, "send": 500})
        [said] = budget.exceeded({"a": counted}, {"a": Cost(1000, UNIT, {"parse": 500, "send": 500})})
        self.assertIn("1,030 instructions/request, 3.0% above the budget of 1,000", said)
        self.assertIn("+30  parse (530)", said)
        self.assertNotIn("send", said)

    def test_a_function_that_is_new_among_the_most_costly_is_named(self):
        counted = Cost(2000, UNIT, {"new": 900, "parse": 500})
        [said] = budget.exceeded({"a": counted}, {"a": Cost(1000, UNIT, {"parse": 500, "send": 100})})
        self.assertIn("+800  new (900)", said)

    def test_a_case_without_a_budget_is_not_passed_over(self):
        [said] = budget.exceeded({"a": Cost(1, UNIT)}, {})
        self.assertIn("make instructions-accept", said)


class Callgrind(unittest.TestCase):
    def read(self, text: str) -> callgrind.Profile:
        with tempfile.NamedTemporaryFile("w", suffix="-01") as file:
            file.write(text)
            file.flush()
            return callgrind.read(Path(file.name))

    def test_a_function_has_its_own_cost_without_what_it_calls(self):
        profile = self.read(OUT)
        name = "wicketgate::server::worker::serve::serve"
        expected = {name: 100 + 3 + 7, f"{name} in core/src/ptr/mod.rs": 20, "memcpy": 5000}
        self.assertEqual(dict(profile.functions), expected)

    def test_a_source_file_is_named_from_its_crate_on(self):
        self.assertEqual(callgrind.source("/x/registry/src/index-01/tokio-rustls-0.26.6/src/lib.rs"), "tokio-rustls/src/lib.rs")
        self.assertEqual(callgrind.source(f"{callgrind.REPOSITORY}/src/gateway.rs"), "src/gateway.rs")
        built = "/x/release/build/jemalloc-sys-efd9f224546e0867/out/build/src/tcache.c"
        self.assertEqual(callgrind.source(built), "jemalloc-sys/src/tcache.c")
        self.assertEqual(callgrind.source("/elsewhere/malloc.c"), "malloc.c")

    def test_the_difference_of_two_runs_is_per_request(self):
        one, two = callgrind.Profile(Counter(a=100)), callgrind.Profile(Counter(a=300, b=20))
        self.assertEqual((two - one).per(10).total, 22)


if __name__ == "__main__":
    unittest.main()
