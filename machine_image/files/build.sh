# Turn this Debian machine into an image of an annex's machines, report on the console, and shut down.
# Bash runs it as root, once, as the user data of the builder. The lines before it set its inputs.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 HOME=/root
umask 022
cd /root

# In memory, so that none of it is in the image.
log=/run/annex-image.log
exec < /dev/null > "$log" 2>&1
step=starting
finished=no

say() {
    printf '\r\n%s %s %s\r\n' "$MARKER" "$BUILD_ID" "$*" >> /dev/console
}

begin() {
    step=$*
    say "step $step"
}

put() {
    mkdir -p "${2%/*}"
    printf '%s' "$3" > "$2"
    chmod "$1" "$2"
}

end() {
    trap - EXIT
    set +e
    if [ "$finished" = no ]; then
        tail -n 15 "$log" | tr -cd '\n\40-\176' | cut -c 1-200 | while read -r line; do say "log $line"; done
        say "failed $step"
    fi
    sync
    sleep "$REPORT_SECONDS"
    shutdown -h now
    # Whatever started this script must not go on before the machine is down.
    sleep infinity
}
trap end EXIT

# An annex's machine has no time to wait for apt's lock, and no user who asks.
apt() {
    apt-get --yes -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 -o Acquire::http::Timeout=20 \
        -o Acquire::https::Timeout=20 -o APT::Update::Error-Mode=any -o Dpkg::Options::=--force-confold "$@"
}

# Three tries of 150 seconds: less than ten minutes.
refresh_lists() {
    for try in 1 2 3; do
        echo "Reading the lists of packages, try $try of 3."
        # In a shell of its own, since timeout knows no functions.
        if (export -f apt; timeout 150 bash -c 'apt update'); then
            return
        fi
        sleep 10
    done
    echo "No way to the packages: the builder's subnet needs a way out, by a public address or NAT, to apt's sources,"
    echo "unless they did answer, with this:"
    # The cause comes last, because that is what is kept of a long text.
    grep '^E:' "$log" | tail -n 2
    return 1
}

begin "setting the time limit"
shutdown -h "+$TIME_LIMIT_MINUTES"

begin "reaching Debian's packages"
# Or the packages would start their daemons here: HTCondor's may shut the machine down.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
# An upgrade on a machine of an annex would restart HTCondor under its jobs.
systemctl disable --now apt-daily.timer apt-daily-upgrade.timer
# The annex-boot service does its work. This one asks the metadata service without a token, and formats disks.
systemctl mask condor-annex-ec2.service
if [ "$GPU" = yes ]; then
    find /etc/apt/sources.list /etc/apt/sources.list.d -type f -exec \
        sed -i -E '/^(deb|Components:)/s/ main( .*)?$/ main contrib non-free non-free-firmware/' {} +
fi
refresh_lists

begin "upgrading Debian"
apt upgrade --with-new-pkgs

if [ -n "$APT_SOURCE" ]; then
    begin "reaching the packages of ImageAptSource"
    case "$APT_SOURCE" in
    deb[[:space:]]*) put 644 /etc/apt/sources.list.d/annex-bootstrap.list "$APT_SOURCE
" ;;
    *) put 644 /etc/apt/sources.list.d/annex-bootstrap.sources "$APT_SOURCE
" ;;
    esac
    refresh_lists
fi

begin "installing HTCondor"
apt install --no-install-recommends condor awscli ca-certificates e2fsprogs nftables python3 util-linux

if [ "$GPU" = yes ]; then
    begin "installing the driver for GPUs"
    architecture=$(dpkg --print-architecture)
    # The kernel for clouds has no DRM, which the driver needs; and nobody here can confirm that it may go.
    echo 'linux-base linux-base/removing-running-kernel boolean false' | debconf-set-selections
    apt install --no-install-recommends "linux-image-$architecture" "linux-headers-$architecture" \
        nvidia-kernel-dkms nvidia-smi libcuda1 libnvidia-ml1
    apt purge '^linux-image.*-cloud-.*'
    for kernel in /lib/modules/*; do
        dkms autoinstall -k "${kernel##*/}"
        modinfo -k "${kernel##*/}" -F version nvidia-current
    done
fi

if [ -n "$PACKAGES" ]; then
    begin "installing ImagePackages"
    read -r -a packages <<< "$PACKAGES"
    # With what Debian recommends, as a person would: docker.io without docker-cli runs no job.
    apt install "${packages[@]}"
fi

begin "installing the boot service"
put_files
systemctl enable annex-boot.service annex-spot-watch.service condor.service
if getent group docker; then
    usermod --append --groups docker condor
fi
if command -v apptainer && ! command -v singularity; then
    put 644 /etc/condor/config.d/61-annex-apptainer.config "SINGULARITY = $(command -v apptainer)
"
fi

if [ -n "$COMMANDS" ]; then
    begin "running ImageCommands"
    bash -euo pipefail -c "$COMMANDS"
fi

begin "checking the image"
condor_version
daemons=$(condor_config_val DAEMON_LIST)
[ "$daemons" = "MASTER STARTD" ]
systemctl is-enabled annex-boot.service annex-spot-watch.service condor.service
python3 -m py_compile /usr/local/lib/annex-bootstrap/annex_machine.py
nft --check --file /usr/local/lib/annex-bootstrap/metadata.nft
bash -n /etc/annex-bootstrap/boot-commands
versions=$(dpkg-query --show --showformat '${Package}=${Version} ' condor awscli)

begin "removing what machines must not share"
rm -f /usr/sbin/policy-rc.d
apt clean
rm -rf /var/lib/apt/lists/* /usr/local/lib/annex-bootstrap/__pycache__
rm -rf /etc/condor/passwords.d/* /etc/condor/tokens.d/* /var/lib/condor/execute/* /var/lib/condor/spool/* \
    /var/spool/condor/* /var/lock/condor/*
rm -f /etc/ssh/ssh_host_* /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem
rm -f /var/lib/dkms/mok.key
# Or the journal would go on in the image.
journalctl --relinquish-var
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret /var/lib/dbus/machine-id
rm -rf /var/lib/cloud/* /var/lib/dhcp/* /root/.bash_history /root/.cache
find /var/log /var/tmp -type f -delete
: > /etc/machine-id

finished=yes
say "ok $versions"
