"""Scans the TLS of a gateway with sslyze and compares it with Mozilla's intermediate profile.

Usage: tls_scan.py HOST PORT CA_FILE. Prints what is wrong, one line each; exit code 1 where something is.
"""

import sys
from pathlib import Path

from sslyze import (
    CertificateInfoExtraArgument,
    ScanCommandsExtraArguments,
    Scanner,
    ServerNetworkLocation,
    ServerScanRequest,
    ServerScanStatusEnum,
)
from sslyze.mozilla_tls_profile.tls_config_checker import (
    MozillaTlsConfiguration,
    ServerNotCompliantWithTlsConfiguration,
    TlsConfigurationEnum,
    check_server_against_tls_configuration,
)

host, port, ca = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
request = ServerScanRequest(
    server_location=ServerNetworkLocation(hostname=host, port=port, ip_address="127.0.0.1"),
    scan_commands_extra_arguments=ScanCommandsExtraArguments(
        certificate_info=CertificateInfoExtraArgument(custom_ca_file=ca)
    ),
)
scanner = Scanner()
scanner.queue_scans([request])
result = next(iter(scanner.get_results()))
if result.scan_status != ServerScanStatusEnum.COMPLETED:
    sys.exit(f"the scan did not complete: {result.connectivity_error_trace}")
problems = {}
try:
    profile = MozillaTlsConfiguration.get(TlsConfigurationEnum.MOZILLA_INTERMEDIATE)
    check_server_against_tls_configuration(result, profile)
except ServerNotCompliantWithTlsConfiguration as fault:
    problems = dict(fault.issues)
# A test's own CA is in no system's trust store, and its certificate may live as long as it likes.
for known in ("certificate_path_validation", "maximum_certificate_lifespan"):
    problems.pop(known, None)
scan = result.scan_result
accepted = {
    version: len(getattr(scan, f"{version}_cipher_suites").result.accepted_cipher_suites)
    for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3")
}
print("accepted suites:", accepted)
if any(accepted[old] for old in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")):
    problems["old versions"] = accepted
if scan.tls_1_3_early_data.result.supports_early_data:
    problems["early data"] = "TLS 1.3 early data is accepted"
if scan.heartbleed.result.is_vulnerable_to_heartbleed or scan.robot.result.robot_result.name.startswith("VULNERABLE"):
    problems["known holes"] = "heartbleed or ROBOT"
for name, problem in problems.items():
    print(f"{name}: {problem}")
sys.exit(1 if problems else 0)
