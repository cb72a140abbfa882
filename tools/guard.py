"""Checks templates against deploy/rules.guard: guard.py RULES BROKEN TEMPLATE...

Each TEMPLATE has to pass, after SAM CLI's own expansion of Fn::ForEach. BROKEN has to fail every rule, which proves that no
rule passes by matching nothing.
"""

import json
import re
import sys
from pathlib import Path

from samcli.lib.cfn_language_extensions.sam_integration import expand_language_extensions
from samcli.lib.intrinsic_resolver.intrinsics_symbol_table import IntrinsicsSymbolTable
from samcli.yamlhelper import yaml_parse

try:
    import cfn_guard_rs
except ImportError:
    sys.exit("guard: cfn-guard-rs supports Python 3.10 to 3.12 only; use one of them for make validate")


def split(source):
    """Returns every rule by name, together with the variables that all rules share."""
    variables = "\n".join(re.findall(r"^let .*$", source, re.MULTILINE))
    rules = re.finditer(r"^rule (\w+).*?^}", source, re.MULTILINE | re.DOTALL)
    return {rule[1]: f"{variables}\n{rule[0]}" for rule in rules}


def failed(path, rules):
    """Returns the rules that path breaks, each with what guard says about it."""
    template = yaml_parse(Path(path).read_text())
    parameters = IntrinsicsSymbolTable.DEFAULT_PSEUDO_PARAM_VALUES
    expanded = expand_language_extensions(template, parameter_values=parameters, enabled=True).expanded_template
    reports = {}
    for name, rule in rules.items():  # one by one: cfn-guard-rs garbles a report that is too long
        try:
            report = cfn_guard_rs.run_checks(expanded, rule)
        except json.JSONDecodeError:
            reports[name] = "in many places"
            continue
        if report.not_compliant:
            reports[name] = report.not_compliant
        elif name not in report.compliant and name not in report.not_applicable:
            sys.exit(f"guard: no result for the rule {name}")
    return reports


def main(rules_path, broken, *templates):
    rules = split(Path(rules_path).read_text())
    faults = [f"{broken} does not break the rule {name}" for name in sorted(set(rules) - set(failed(broken, rules)))]
    for path in templates:
        faults += [f"{path} breaks the rule {name}: {where}" for name, where in failed(path, rules).items()]
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(rules)} rules of {rules_path} hold in {', '.join(templates)}")


main(*sys.argv[1:])
