#!/usr/bin/env python3
"""Prints the list of parts (SBOM) of the binary for a target: the Rust crates, the Go modules and
both standard libraries in it, as CycloneDX 1.6.

    sbom.py TARGET    SOURCE_DATE_EPOCH is its time; needs the packages of packaging/release/requirements.txt
"""

import os
import sys
import uuid
from datetime import UTC, datetime

import linked
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL


def component(part, ref, purl, **more):
    return Component(type=ComponentType.LIBRARY, name=part.name, version=part.version, bom_ref=ref, purl=purl, **more)


def crate(part):
    """A crate has the checksum of the file that cargo downloads. The old `A/B` in some crates means `A OR B`."""
    return component(
        part,
        f"cargo:{part.name}@{part.version}",
        PackageURL("cargo", None, part.name, part.version),
        licenses=[LicenseExpression(part.licence.replace("/", " OR "))],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)] if part.sha256 else [],
    )


def module(part):
    """A Go module."""
    space, _, name = part.name.rpartition("/")
    return component(part, f"go:{part.name}@{part.version}", PackageURL("golang", space or None, name, part.version))


def library(part):
    """Rust's standard library. It has no crate, so the package URL names what rustup calls it."""
    return component(
        part,
        f"rust-std@{part.version}",
        PackageURL("generic", None, "rust-std", part.version),
        licenses=[LicenseExpression(part.licence)],
    )


def bill(target):
    """Our crate is the program. Which module uses which is left out: the program uses them all, and Rust's library."""
    parts, uses = linked.crates(target)
    components = {(part.name, part.version): crate(part) for part in parts}
    others = [module(part) for part in linked.modules(target)] + [library(linked.library())]
    [own] = [(part.name, part.version) for part in parts if not part.sha256]
    program = components[own]
    program.type = ComponentType.APPLICATION
    bom = Bom(components=[c for c in components.values() if c is not program] + others)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"{program.purl}?target={target}")
    bom.metadata.timestamp = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    bom.metadata.component = program
    compiler = linked.output("rustc", "--version").strip()
    bom.metadata.properties = [Property(name="target", value=target), Property(name="rustc", value=compiler)]
    for name, used in uses.items():
        bom.register_dependency(components[name], [components[other] for other in used])
    bom.register_dependency(program, others)
    return bom


def main():
    text = JsonV1Dot6(bill(sys.argv[1])).output_as_string(indent=1)
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"error: not CycloneDX 1.6: {fault}")
    print(text)


main()
