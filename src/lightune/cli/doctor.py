"""`lightune doctor`: is this machine ready?"""

from __future__ import annotations

import click

from lightune.cli.options import as_json, example, print_json
from lightune.terminal import say

EXAMPLES = example("""
lightune doctor
lightune doctor --json
""")


@click.command("doctor", epilog=EXAMPLES)
@as_json
def command(as_json: bool) -> int:
    """Check versions, device, memory, disk, the embedded model and access to the Hub; say how to fix faults."""
    from lightune.diagnosis import diagnose

    findings = diagnose()
    if as_json:
        print_json({"findings": [vars(finding) for finding in findings]})
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            say(f"{'ok  ' if finding.ok else 'note'}  {finding.name:<{width}}  {finding.detail}")
    return 0
