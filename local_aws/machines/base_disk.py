"""Debian 13's disk as EC2 has it: the image that a builder starts from.

Debian publishes no such disk as a package, so it is made of Debian's packages, by the layout of its image for EC2:
grub, a cloud kernel, cloud-init, netplan and systemd-networkd, apt's mirrors in files of their own, a root partition
that comes last and grows. No loop device and no mount of a disk is needed: mkfs.ext4 fills its file system from a
directory, and grub's two images are written to their sectors.

Source of the layout: https://salsa.debian.org/cloud-team/debian-cloud-images
"""

from __future__ import annotations

import hashlib
import struct
import subprocess
import tempfile
from pathlib import Path

from local_aws.machines.debian import UNSHARE, cached, install, mirror_of, run

SUITE = "trixie"

PROGRAMS = ("debootstrap", "mkfs.ext4", "mkfs.vfat", "sfdisk", "qemu-img")
HOST_PACKAGES = ("debootstrap", "dosfstools", "e2fsprogs", "fdisk", "qemu-utils")

PACKAGES = (
    *("amazon-ec2-utils", "apparmor", "awscli", "ca-certificates", "cloud-guest-utils", "cloud-init"),
    *("cloud-initramfs-growroot", "curl", "dbus", "e2fsprogs", "grub-cloud-amd64", "iproute2", "less"),
    *("libpam-systemd", "linux-image-cloud-amd64", "netplan.io", "openssh-client", "openssh-server", "procps"),
    *("python3", "sudo", "systemd-resolved", "systemd-sysv", "systemd-timesyncd", "udev", "unattended-upgrades"),
    "zstd",
)

_SECTOR = 512
_MIB = 1024 * 1024 // _SECTOR
"""Sectors."""

_BIOS_START, _BIOS_SIZE = 1 * _MIB, 3 * _MIB
_EFI_START, _EFI_SIZE = 4 * _MIB, 124 * _MIB
_ROOT_START, _ROOT_SIZE = 128 * _MIB, 2944 * _MIB

_TABLE = f"""\
label: gpt
first-lba: 34
14: start={_BIOS_START}, size={_BIOS_SIZE}, type=21686148-6449-6E6F-744E-656564454649
15: start={_EFI_START}, size={_EFI_SIZE}, type=uefi
1: start={_ROOT_START}, size={_ROOT_SIZE}, type=linux
"""

# The kernel is the release's own, so that a builder meets a base that is behind, as most bases are: Debian's image for
# EC2 is older than its security updates.
_PACKAGES_SCRIPT = """
set -eu
root=$1 suite=$2 mirror=$3
shift 3
# All of Debian since 2023 is built by sid's script, and a debootstrap may know no younger suite than its own.
debootstrap --variant=minbase "$suite" "$root" "$mirror" sid
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t devtmpfs devtmpfs "$root/dev"
chroot "$root" apt-get install --yes --no-install-recommends "$@"
chroot "$root" apt-get clean
"""

_CONSOLES = "console=tty0 console=ttyS0,115200 earlyprintk=ttyS0,115200 consoleblank=0"

_FILES = {
    "etc/apt/sources.list": "",
    "etc/apt/mirrors/debian.list": "https://cdn-aws.deb.debian.org/debian\n",
    "etc/apt/mirrors/debian-security.list": "https://cdn-aws.deb.debian.org/debian-security\n",
    "etc/apt/sources.list.d/debian.sources": f"""\
Types: deb deb-src
URIs: mirror+file:///etc/apt/mirrors/debian.list
Suites: {SUITE} {SUITE}-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: mirror+file:///etc/apt/mirrors/debian-security.list
Suites: {SUITE}-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
""",
    "etc/cloud/cloud.cfg.d/01_debian_cloud.cfg": """\
apt:
  generate_mirrorlists: true
system_info:
  package_mirrors:
    - arches: [default]
      failsafe:
        primary: https://cdn-aws.deb.debian.org/debian
        security: https://cdn-aws.deb.debian.org/debian-security
""",
    "etc/fstab": """\
LABEL=root / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1
LABEL=EFI /boot/efi vfat defaults 0 0
""",
    "etc/hostname": "",
    "etc/machine-id": "",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
    "etc/default/grub.d/10_cloud.cfg": f"""\
GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX="{_CONSOLES}"
GRUB_TERMINAL="console serial"
GRUB_SERIAL_COMMAND="serial --speed=115200"
""",
}

# update-grub wants the disk that its file system is on. The first kernel that the machine installs calls it there.
_GRUB_CONFIG = f"""\
set timeout=0
search --no-floppy --set=root --label root
linux /boot/vmlinuz-{{kernel}} root=LABEL=root ro {_CONSOLES}
initrd /boot/initrd.img-{{kernel}}
boot
"""

_GRUB_START = """\
search --no-floppy --set=root --label root
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
"""

_GRUB_MODULES = (
    *("biosdisk", "part_gpt", "ext2", "search", "search_label", "search_fs_uuid", "configfile", "normal", "linux"),
    *("echo", "test", "serial", "terminal", "boot", "minicmd", "ls", "cat", "gzio", "all_video", "loadenv"),
)

_FINISH = """
set -eu
root=$1
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/etc/ssh/ssh_host_*
rm -f "$root/var/lib/systemd/random-seed" "$root/var/lib/dbus/machine-id"
mkdir -p "$root/boot/efi" "$root/boot/grub/i386-pc"
cp "$root"/usr/lib/grub/i386-pc/*.mod "$root"/usr/lib/grub/i386-pc/*.lst "$root/boot/grub/i386-pc/"
chroot "$root" systemctl enable systemd-networkd.service systemd-resolved.service systemd-timesyncd.service
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
chroot "$root" grub-mkimage --format i386-pc --output /tmp/core.img --prefix /boot/grub --config /tmp/start.cfg \\
    {modules}
mv "$root/tmp/core.img" "$2"
cp "$root/usr/lib/grub/i386-pc/boot.img" "$3"
rm "$root/tmp/start.cfg"
"""


def ensure_base() -> Path:
    """Return Debian's disk, a qcow2 file, building it first where that has not been done: about two minutes.

    Raises:
        UnavailableError: without root rights, apt, a Debian mirror or its packages.
    """
    install(PROGRAMS, HOST_PACKAGES)
    recipe = "\n".join(
        (SUITE, *PACKAGES, _PACKAGES_SCRIPT, _FINISH, _TABLE, _GRUB_CONFIG, _GRUB_START, *_GRUB_MODULES, str(_FILES))
    )
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    return cached(f"disk-{SUITE}-{digest}", _build) / "disk.qcow2"


def _build(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target, prefix="root.") as name:
        root = Path(name)
        root.chmod(0o755)
        run(
            "building Debian's disk",
            [*UNSHARE, "sh", "-c", _PACKAGES_SCRIPT, "sh", str(root), SUITE, mirror_of(SUITE), *PACKAGES],
        )
        _configure(root)
        core, boot = target / "core.img", target / "boot.img"
        finish = _FINISH.format(modules=" ".join(_GRUB_MODULES))
        run("finishing Debian's disk", [*UNSHARE, "sh", "-c", finish, "sh", str(root), str(core), str(boot)])
        _assemble(root, target / "disk.raw", core.read_bytes(), boot.read_bytes())
    run(
        "packing Debian's disk",
        ["qemu-img", "convert", "-O", "qcow2", str(target / "disk.raw"), str(target / "disk.qcow2")],
    )
    for left in (core, boot, target / "disk.raw"):
        left.unlink()


def _configure(root: Path) -> None:
    for path, text in _FILES.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (kernel,) = (path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*"))
    (root / "boot/grub").mkdir(exist_ok=True)
    (root / "boot/grub/grub.cfg").write_text(_GRUB_CONFIG.format(kernel=kernel))
    (root / "tmp/start.cfg").write_text(_GRUB_START)


def _assemble(root: Path, disk: Path, core: bytes, boot: bytes) -> None:
    """Write the disk: its partition table, both file systems, and what the BIOS and then grub start from."""
    parts = {"root": disk.with_suffix(".root"), "efi": disk.with_suffix(".efi")}
    for part, size in (("root", _ROOT_SIZE), ("efi", _EFI_SIZE)):
        with parts[part].open("wb") as file:
            file.truncate(size * _SECTOR)
    with disk.open("wb") as file:
        file.truncate((_ROOT_START + _ROOT_SIZE + _MIB) * _SECTOR)
    run("making the root file system", ["mkfs.ext4", "-q", "-L", "root", "-d", str(root), str(parts["root"])])
    run("making the EFI file system", ["mkfs.vfat", "-n", "EFI", str(parts["efi"])])
    subprocess.run(["sfdisk", "--quiet", str(disk)], input=_TABLE, text=True, check=True)
    for part, start in (("root", _ROOT_START), ("efi", _EFI_START)):
        run(
            "writing a partition",
            ["dd", f"if={parts[part]}", f"of={disk}", "bs=1M", f"seek={start // _MIB}", "conv=notrunc,sparse"],
        )
        parts[part].unlink()
    with disk.open("r+b") as file:
        file.write(boot_sector(boot))
        file.seek(_BIOS_START * _SECTOR)
        file.write(core_image(core))


def boot_sector(boot: bytes) -> bytes:
    """Return grub's first sector up to the partition table, which says where the rest of grub begins.

    Source: ``kernel_sector`` and ``boot_drive`` in grub's ``grub-core/boot/i386/pc/boot.S``.
    """
    code = bytearray(boot[:440])
    struct.pack_into("<Q", code, 0x5C, _BIOS_START)
    # Without this jump the code asks a broken BIOS for its boot drive; grub-install writes the same two bytes.
    code[0x66:0x68] = b"\x90\x90"
    return bytes(code)


def core_image(core: bytes) -> bytes:
    """Return grub's core image, whose first sector says where its other sectors are.

    Source: the block list at the end of ``grub-core/boot/i386/pc/diskboot.S``.
    """
    image = bytearray(core)
    sectors = -(-len(core) // _SECTOR) - 1
    # Start, length, and the segment that grub-mkimage has put there already.
    struct.pack_into("<QH", image, _SECTOR - 12, _BIOS_START + 1, sectors)
    return bytes(image)
