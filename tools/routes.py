"""Checks the routes that SAM generates for the HTTP API: routes.py TEMPLATE

With JwtIssuer and JwtAudience, API Gateway requires a token on each route of holds and orders, and on no other. Without them, it
requires none. Every event of a function is a route to that function, on AWS and under `sam local`.
"""

import copy
import os
import sys
from pathlib import Path

from samcli.lib.cfn_language_extensions.sam_integration import expand_language_extensions
from samcli.lib.intrinsic_resolver.intrinsics_symbol_table import IntrinsicsSymbolTable
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

SHOPPERS = ("HoldsFunction", "OrdersFunction")  # their routes belong to a shopper
SIGN_IN = {"JwtIssuer": "https://issuer.example.com", "JwtAudience": "checkout"}
os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")  # SAM's translator needs one, but makes no calls


def events(template):
    """Returns the function of each route, such as ("POST", "/v1/holds")."""
    return {
        (event["Properties"]["Method"], event["Properties"]["Path"]): function
        for function, resource in template["Resources"].items()
        if isinstance(resource, dict)  # a loop is a list
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "HttpApi"
    }


def deployed(template, parameters):
    """Returns the API's document that SAM deploys, with its conditions not yet evaluated, as AWS gets it."""
    values = {**IntrinsicsSymbolTable.DEFAULT_PSEUDO_PARAM_VALUES, **parameters}
    expanded = copy.deepcopy(expand_language_extensions(template, parameter_values=values, enabled=True).expanded_template)
    expanded["Resources"]["Api"] = copy.deepcopy(template["Resources"]["Api"])  # the expansion has already evaluated its conditions
    for resource in expanded["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"  # as after `sam package`
    return Translator({}, Parser()).translate(expanded, parameter_values=values)["Resources"]["Api"]["Properties"]["Body"]


def decided(value, signed_in):
    """Returns value with each Fn::If of HasSignIn evaluated; None stands for AWS::NoValue."""
    if isinstance(value, list):
        return [decided(item, signed_in) for item in value]
    if not isinstance(value, dict):
        return value
    if value == {"Ref": "AWS::NoValue"}:
        return None
    if "Fn::If" in value:
        condition, yes, no = value["Fn::If"]
        if condition != "HasSignIn":
            sys.exit(f"routes: unknown condition {condition}")
        return decided(yes if signed_in else no, signed_in)
    members = {name: decided(member, signed_in) for name, member in value.items()}
    return {name: member for name, member in members.items() if member is not None}


def faults(template, path, parameters):
    """Yields what is wrong with these parameters."""
    signed_in = bool(parameters)
    body = decided(deployed(template, parameters), signed_in)
    expected = events(template)
    found = {(method.upper(), route): operation for route, item in body["paths"].items() for method, operation in item.items()}
    if set(found) != set(expected):
        yield f"the routes {sorted(set(found) ^ set(expected))} are only in the events, or only in the document"
    for route, function in expected.items():
        operation = found.get(route, {})
        uri = operation.get("x-amazon-apigateway-integration", {}).get("uri", {}).get("Fn::Sub", "")
        if f"${{{function}Aliaslive}}" not in uri:
            yield f"{route} does not reach {function}: {uri}"
        want = [{"shopper": []}] if signed_in and function in SHOPPERS else None
        if operation.get("security") != want:
            yield f"{route} has the security {operation.get('security')}, expected {want}"
    schemes = body.get("components", {}).get("securitySchemes", {})
    jwt = {"issuer": {"Ref": "JwtIssuer"}, "audience": [{"Ref": "JwtAudience"}]}
    got = schemes.get("shopper", {}).get("x-amazon-apigateway-authorizer", {}).get("jwtConfiguration")
    if got != (jwt if signed_in else None):
        yield f"the authorizer is {got}"
    stacks, _ = SamLocalStackProvider.get_stacks(path, parameter_overrides=parameters, language_extensions_enabled=True)
    # SAM CLI 1.170 does not support JWT authorizers, and fails on one without --disable-authorizer.
    routes = ApiProvider(stacks, disable_authorizer=signed_in).routes
    local = {(method, route.path): route.function_name for route in routes for method in route.methods}
    local = {route: function for route, function in local.items() if route[0] != "OPTIONS"}  # of CORS
    if local != expected:
        yield f"sam local has the routes {sorted(set(local.items()) ^ set(expected.items()))} only, or lacks them"


def main(path):
    template = yaml_parse(Path(path).read_text())
    found = [
        f"{'with' if parameters else 'without'} sign-in: {fault}"
        for parameters in ({}, SIGN_IN)
        for fault in faults(template, path, parameters)
    ]
    if found:
        sys.exit("\n".join(found))
    print(f"{len(events(template))} routes of {path} reach their functions, with and without sign-in")


main(*sys.argv[1:])
