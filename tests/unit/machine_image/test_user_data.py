"""The builder's user data, and what its console says."""

from __future__ import annotations

import gzip
import random
import re
import string
import subprocess
import sys
from pkgutil import get_data

import pytest

from annex_contract.operating_system import SYSTEM
from machine_image.user_data import (
    COMMANDS_LIMIT,
    MARKER,
    REPORT_SECONDS,
    TIME_LIMIT_MINUTES,
    USER_DATA_LIMIT,
    ImageInputError,
    ImageInputs,
    Outcome,
    read_outcome,
    render_script,
    render_user_data,
)
from tests.archives import loader_of

FULL = ImageInputs(
    "build-1",
    packages=("docker.io", "g++", "python3-numpy=1:2.2.4+ds-1", "apptainer/sid"),
    commands='echo "it\'s $HOME"\n' * 100,
    boot_commands="mount -a",
    apt_source="Types: deb\nURIs: https://example.org/debian\nSuites: forky\nComponents: main",
    gpu=True,
    http_proxy="http://proxy.example.org:3128",
    no_proxy=".example.org,192.0.2.1",
)


def _printed(script: str) -> str:
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=20).stdout


def test_user_data_is_the_script_packed_as_cloud_init_unpacks_it() -> None:
    assert gzip.decompress(render_user_data(FULL)).decode() == render_script(FULL)
    assert len(render_user_data(FULL)) < USER_DATA_LIMIT


def test_the_script_begins_as_cloud_init_expects_and_bash_can_read_it() -> None:
    script = render_script(FULL)
    assert script.startswith("#!/bin/bash\n")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=20)


@pytest.mark.parametrize("gpu", [True, False])
def test_each_file_goes_where_the_machines_look_for_it(gpu: bool) -> None:
    head = render_script(ImageInputs("x", gpu=gpu)).partition("# How to get packages")[0]
    put = '\nput() { echo "$1 $2"; }\n'
    library = "/usr/local/lib/annex-bootstrap"
    assert _printed(f"{head}{put}put_files").splitlines() == [
        "644 /etc/systemd/system/annex-boot.service",
        "644 /etc/systemd/system/annex-spot-watch.service",
        "644 /etc/systemd/system/condor.service.d/after-annex-boot.conf",
        f"644 {library}/metadata.nft",
        "644 /etc/condor/config.d/60-annex-machine.config",
        *(["644 /etc/condor/config.d/61-annex-gpu.config"] if gpu else []),
        f"644 {library}/machine_image/__init__.py",
        f"644 {library}/machine_image/annex_machine.py",
        f"644 {library}/machine_image/aws_calls.py",
        "755 /etc/annex-bootstrap/boot-commands",
    ]


@pytest.mark.parametrize("text", ["it's", 'a "b" $c `d` \\', "two\nlines", "$(reboot)", "'; reboot #", "EOF\n"])
def test_the_shell_gets_every_input_unchanged(text: str) -> None:
    inputs = ImageInputs("x", commands=text, boot_commands=text)
    head = render_script(inputs).partition("# How to get packages")[0]
    # Instead of writing files, put prints the one that the machines run at boot.
    put = '\nput() { case "$2" in */boot-commands) printf %s "$3" ;; esac; }\n'
    assert _printed(f'{head}{put}printf "%s|" "$COMMANDS"; put_files') == f"{text}|{text}\n"


PROXY = "http://[2001:db8::1]:3128"
WITHOUT = "localhost,127.0.0.1,::1,169.254.169.254,fd00:ec2::254"


@pytest.mark.parametrize(
    ("hosts", "without"), [("", WITHOUT), (".example.org,192.0.2.1", f"{WITHOUT},.example.org,192.0.2.1")]
)
def test_a_proxy_is_that_of_the_builder_its_machines_services_and_jobs(hosts: str, without: str) -> None:
    head = render_script(ImageInputs("x", http_proxy=PROXY, no_proxy=hosts)).partition("# How to get packages")[0]
    put = '\nput() { case "$2" in *proxy*) printf "%s %s\\n%s" "$1" "$2" "$3" ;; esac; }\n'
    files = _printed(f"{head}{put}put_files")
    values = {"http_proxy": PROXY, "https_proxy": PROXY, "no_proxy": without}
    values |= {name.upper(): value for name, value in values.items()}
    variables = [f"{name}={value}" for name, value in values.items()]
    assert files == "".join(
        f"644 {path}\n{text}\n"
        for path, text in (
            ("/etc/annex-bootstrap/proxy", "\n".join(variables)),
            ("/etc/condor/config.d/62-annex-proxy.config", f'STARTER_JOB_ENVIRONMENT = "{" ".join(variables)}"'),
            *(
                (
                    f"/etc/systemd/system/{service}.service.d/annex-proxy.conf",
                    "[Service]\nEnvironmentFile=/etc/annex-bootstrap/proxy",
                )
                for service in ("annex-boot", "condor", "docker")
            ),
        )
    )
    # The programs that the builder runs have it, too.
    given = _printed(f"unset {' '.join(values)}\n{head}\nenv").splitlines()
    assert set(variables) <= set(given)


def test_without_a_proxy_nothing_names_one() -> None:
    script = render_script(ImageInputs("x", no_proxy=".example.org"))
    assert "annex-proxy" not in script
    assert "http_proxy" not in script


def test_a_function_renders_the_same_from_its_archive() -> None:
    program = (
        f"{loader_of('ImageBuilderFunction')}\n"
        "from machine_image.user_data import ImageInputs, render_script\n"
        "sys.stdout.write(render_script(ImageInputs('x')))"
    )
    # Isolated, so that only the standard library is there besides.
    ran = subprocess.run([sys.executable, "-I", "-S", "-"], input=program, capture_output=True, text=True, timeout=20)
    assert (ran.stderr, ran.stdout) == ("", render_script(ImageInputs("x")))


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (ImageInputs(""), "the ID of a build"),
        (ImageInputs("a b"), "the ID of a build"),
        (ImageInputs("x", packages=("docker.io; reboot",)), "ImagePackages names 'docker.io; reboot'"),
        (ImageInputs("x", packages=("systemd-",)), "ImagePackages names 'systemd-'"),
        (ImageInputs("x", packages=("--purge",)), "ImagePackages names '--purge'"),
        (ImageInputs("x", commands="c" * (COMMANDS_LIMIT + 1)), "ImageCommands has 4,097 characters"),
        (ImageInputs("x", boot_commands="c" * (COMMANDS_LIMIT + 1)), "BootCommands has 4,097 characters"),
        (ImageInputs("x", commands="a\0b"), "ImageCommands has a NUL character"),
        (ImageInputs("x", apt_source="https://example.org/debian"), "ImageAptSource is neither"),
        (ImageInputs("x", http_proxy="http://me:secret@proxy:3128"), "HttpProxy is not a URL"),
        (ImageInputs("x", http_proxy="proxy:3128"), "HttpProxy is not a URL"),
        (ImageInputs("x", http_proxy="http://proxy/$(reboot)"), "HttpProxy is not a URL"),
        (ImageInputs("x", http_proxy="http://proxy", no_proxy="a b"), "NoProxy is not a list of hosts"),
    ],
)
def test_an_input_that_cannot_be_is_refused_with_a_sentence(inputs: ImageInputs, says: str) -> None:
    with pytest.raises(ImageInputError, match=f"^{says}"):
        render_user_data(inputs)


def test_inputs_that_cannot_be_packed_small_enough_are_refused() -> None:
    noise = random.Random(0)
    text = "".join(noise.choices(string.ascii_letters + string.digits + "äöüßéè€", k=COMMANDS_LIMIT))
    with pytest.raises(ImageInputError, match=r"bytes of user data, of which EC2 takes 16,384"):
        render_user_data(ImageInputs("x", commands=text, boot_commands=text[::-1]))


def test_nothing_is_read_from_a_console_without_an_outcome() -> None:
    assert read_outcome("", "b1") is None
    assert read_outcome(f"[ 12.3] kernel\r\n{MARKER} b1 step installing HTCondor\r\n", "b1") is None


def test_a_success_tells_the_versions() -> None:
    console = (
        f"login: \r\n{MARKER} b1 step checking\r\n{MARKER} b1 ok condor=23.9.6+dfsg-2.1 awscli=2.23.6-1 \r\n[ OK ]"
    )
    versions = {"condor": "23.9.6+dfsg-2.1", "awscli": "2.23.6-1"}
    assert read_outcome(console, "b1") == Outcome(True, versions)


def test_a_failure_tells_the_step_and_the_last_lines_in_order() -> None:
    console = (
        f"{MARKER} b1 log one\r\n{MARKER} b1 log \r\n[ 9.1] {MARKER} b1 log two\r\n{MARKER} b1 failed installing\r\n"
    )
    assert read_outcome(console, "b1") == Outcome(False, reason="installing failed | one | two")


def test_a_failures_lines_keep_no_sequences_of_a_terminal() -> None:
    body = render_script(ImageInputs("x"))
    (function,) = re.findall(r"^printable\(\) \{.*?^\}$", body, re.MULTILINE | re.DOTALL)
    text = r"\033[0;1;39mStarting\033[0m x\033[K \033[?25lé\033M\tend\n"
    assert _printed(f"{function}\nprintf '{text}' | printable") == "Starting x end\n"


def test_the_rules_are_checked_while_the_running_kernel_has_its_modules() -> None:
    script = render_script(FULL)
    check = script.index("\nnft --check")
    assert check < script.index("\n    install_gpu_driver\n") < script.index("\nremove_old_kernels\n")


def test_an_image_for_gpus_upgrades_no_kernel_that_it_removes() -> None:
    packages = get_data("machine_image", f"files/{SYSTEM.script}")
    assert packages is not None
    upgrade = f'{packages.decode()}\napt() {{ echo "$@"; }}\nupgrade_system'
    assert _printed(f"GPU=yes\n{upgrade}") == "purge ^linux-image-cloud-.*\nupgrade --with-new-pkgs\n"
    assert _printed(f"GPU=no\n{upgrade}") == "upgrade --with-new-pkgs\n"


def test_the_outcome_of_another_build_does_not_count() -> None:
    console = f"{MARKER} b0 ok condor=1\r\n{MARKER} b10 failed x\r\n"
    assert read_outcome(console, "b1") is None


def test_the_script_has_every_value_that_the_build_reads() -> None:
    head = render_script(FULL).partition("# How to get packages")[0]
    names = ("SYSTEM", "MARKER", "BUILD_ID", "TIME_LIMIT_MINUTES", "REPORT_SECONDS", "PACKAGES", "APT_SOURCE", "GPU")
    shown = "".join(f'printf "%s|" "${name}"; ' for name in names)
    values = _printed(f"set -u\n{head}\n{shown}").split("|")
    source = "Types: deb\nURIs: https://example.org/debian\nSuites: forky\nComponents: main"
    packages = "docker.io g++ python3-numpy=1:2.2.4+ds-1 apptainer/sid"
    limits = [str(TIME_LIMIT_MINUTES), str(REPORT_SECONDS)]
    assert values == ["Debian", MARKER, "build-1", *limits, packages, source, "yes", ""]
    plain = render_script(ImageInputs("x", apt_source=" \n")).partition("# How to get packages")[0]
    assert _printed(f'set -u\n{plain}\nprintf "%s|%s|%s|" "$APT_SOURCE" "$GPU" "$PACKAGES"') == "|no||"
