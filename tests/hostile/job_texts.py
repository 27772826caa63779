"""Files of jobs, journals and recipes as a stranger may send them.

``JOB_FILES`` has pairs of a file's ending and its text, by name. The corpus reads them, and the
fuzzer begins with them.
"""

import json
import re

BOMB = """
- content: &a [x, x, x, x, x, x, x, x, x]
  style: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]
  start: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]
  mode: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]
  size: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]
  seed: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e]
  beta: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f]
  alpha: &h [*g, *g, *g, *g, *g, *g, *g, *g, *g]
  output: &i [*h, *h, *h, *h, *h, *h, *h, *h, *h]
"""
LISTS = "- - " + BOMB.strip().removeprefix("- content: ")
LISTS = re.sub(r"(?<=\n)  \w+: ", "  - ", LISTS)
MAPPINGS = "\n".join(
    ["- a0: &a0 {x: 1}", *(f"  a{n}: &a{n} {{<<: *a{n - 1}, y: *a{n - 1}}}" for n in range(1, 30))]
)
# Values that no option takes, of every type that a file can hold.
WRONG = (
    *([], [[]], [1], ["a", None], {}, {"a": 1}, {"a": {"b": 1}}, True, False, 1.5, -1, 0),
    *(10**400, 1e308, float("inf"), float("nan"), "", " ", "\0", "\n", "\x1b[2J", "\u2028"),
    *("\ud800", "-", "~", "~nosuchuser/x.png", "/dev/zero", "/dev/stdin", ".", "..", "x" * 5000),
    *("https://example.com/a.png", "../../etc/passwd", "a.png,b.png", "a:b:c:d", "#ff0000"),
)
NAMES = (
    *("content", "style", "output", "mode", "preset", "start", "region", "weights", "size"),
    *("seed", "style_layers", "style_weights", "memory", "device", "threads", "bits", "width"),
)


def one(**words):
    """A line of JSON for one job."""
    whole = {"content": "photograph.png", "style": "painting.png", "output": "a.png", **words}
    return json.dumps({name: value for name, value in whole.items() if value is not None})


def job_files():
    """Pairs of ending and text, by name."""
    many = {f"option{number}": number for number in range(20_000)}
    made = {
        "bomb": ("yaml", BOMB),
        "bomb of lists": ("yaml", LISTS),
        "bomb of mappings": ("yaml", MAPPINGS),
        "itself": ("yaml", "- size: &a [*a]"),
        "itself as a job": ("yaml", "- &a [*a]"),
        "an anchor that is absent": ("yaml", "- size: *nothing"),
        "a tag": ("yaml", "- !!python/object/apply:os.system [ls]"),
        "a binary": ("yaml", "- content: !!binary |\n    R0lGODlhAQABAA=="),
        "documents": ("yaml", "---\n- seed: 1\n---\n- seed: 2\n"),
        "a key that is a list": ("yaml", "- ? [a, b]\n  : c"),
        "a key that is a mapping": ("yaml", "- ? {a: b}\n  : c"),
        "control characters": ("yaml", '- {content: "\x01\x02\x7f.png"}'),
        "escapes": ("yaml", '- {content: "\\e[2J\\0\\u2028.png"}'),
        "deep lists": ("yaml", "- [" + 5000 * "[" + 5000 * "]" + "]"),
        "deep mappings": ("yaml", "- " + 5000 * "{a: " + "1" + 5000 * "}"),
        "deep hyphens": ("yaml", 3000 * "- " + "a"),
        "deep JSON": ("jsonl", "[" * 99_999),
        "deep objects": ("jsonl", '{"a":' * 99_999),
        "digits": ("jsonl", '{"seed": ' + "9" * 100_000 + "}"),
        "twice": ("jsonl", '{"seed": 1, "seed": 2}'),
        "surrogates": ("jsonl", '{"\\ud800": "\\udfff"}'),
        "a name with escapes": ("jsonl", one(**{"\x1b[31m\n" * 100: 1})),
        "many options": ("jsonl", one(**many)),
        "many columns": ("csv", ",".join(many) + "\n" + ",".join(map(str, many.values()))),
        "many jobs": ("jsonl", "\n".join(one(output=f"{n}.png", seeds=n) for n in range(5000))),
        "many empty lines": ("jsonl", "\n" * 500_000),
        "a long line": ("jsonl", one(content="x" * 2_000_000)),
        "semicolons": ("csv", "content;style;output\nc.png;s.png;a.png\n"),
        "a quote without end": ("csv", 'content,style\n"' + "x" * 200_000),
        "a wide cell": ("csv", "content\n" + "x" * 200_000),
        "headings alone": ("csv", "content,style"),
        "no text": ("jsonl", "\0\x01\x02"),
        "a mark of order": ("jsonl", "\ufeff\ufeff" + one()),
    }
    for mark in "\u2028\u2029\u0085\x0c\x1c":
        text = json.dumps(json.loads(one(content=f"a{mark}b.png")), ensure_ascii=mark < " ")
        made[f"U+{ord(mark):04X}"] = ("jsonl", text)
    for name in NAMES:
        made[f"wrong {name}"] = ("jsonl", "\n".join(one(**{name: value}) for value in WRONG))
    return made


JOB_FILES = job_files()


def journal(jobs=3):
    """The lines of a journal: of each job, that it was begun, saved and done."""
    lines = [{"event": "batch", "format": 1, "impasto": "0.1", "check": "00000000"}]
    for number in range(jobs):
        job = {"job": f"{number}" * 64, "output": f"{number}.png", "at": "2026-01-01T00:00:00"}
        sha256 = f"{number + 5}" * 64
        lines += [
            job | {"state": "begun", "place": f"line {number}"},
            job | {"state": "saving", "sha256": sha256},
            job | {"state": "done", "sha256": sha256, "time_s": 1.5},
        ]
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()
