# Turn this machine into an image of an annex's machines, report on the console, and shut down.
# Bash runs it as root, once, as the user data of the builder. The lines before it set its inputs and
# know the packages of the operating system.
set -euo pipefail
export LC_ALL=C.UTF-8 HOME=/root
umask 022
cd /root

# In memory, so that none of it is in the image.
log=/run/annex-image.log
exec < /dev/null > "$log" 2>&1
step=starting
finished=no
ended=no

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

# Without the sequences that move a terminal's cursor or colour its text, and then without what is no text.
printable() {
    sed -E $'s/\033(\\[[0-?]*[ -\\/]*[@-~]|[@-Z\\\\^_])//g' | tr -cd '\n\40-\176' | cut -c 1-200
}

end() {
    trap - EXIT
    set +e
    if [ "$finished" = no ]; then
        tail -n 15 "$log" | printable | while read -r line; do say "log $line"; done
        say "failed $step"
    fi
    # At the time limit the machine is shutting down already, and waits for this script.
    if [ "$ended" = yes ]; then
        exit 1
    fi
    sync
    sleep "$REPORT_SECONDS"
    # Not by stopping each service in order: some would write again what is removed, and on the console after the end.
    systemctl poweroff --force
    # Whatever started this script must not go on before the machine is down.
    sleep infinity
}
trap end EXIT
trap 'ended=yes; exit 1' TERM

begin "setting the time limit"
shutdown -h "+$TIME_LIMIT_MINUTES"

begin "reaching $SYSTEM's packages"
prepare_packages

begin "upgrading $SYSTEM"
upgrade_system

if [ -n "$APT_SOURCE" ]; then
    begin "reaching the packages of ImageAptSource"
    add_package_source
fi

begin "installing HTCondor"
install_condor

begin "installing the boot service"
put_files
systemctl enable annex-boot.service annex-spot-watch.service condor.service
# As long as the running kernel has its modules.
nft --check --file /usr/local/lib/annex-bootstrap/metadata.nft

if [ "$GPU" = yes ]; then
    begin "installing the driver for GPUs"
    install_gpu_driver
fi

if [ -n "$PACKAGES" ]; then
    begin "installing ImagePackages"
    read -r -a packages <<< "$PACKAGES"
    install_packages "${packages[@]}"
fi

begin "joining the parts"
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
# Machines keep what this makes, and compile nothing at boot.
(cd /usr/local/lib/annex-bootstrap && python3 -m py_compile machine_image/*.py)
bash -n /etc/annex-bootstrap/boot-commands
versions=$(package_versions condor awscli)

begin "removing old kernels"
remove_old_kernels

begin "removing what machines must not share"
# cloud-init would write down how this script ended; nothing else of it is left to do.
kill -KILL "$PPID"
clean_packages
rm -rf /etc/condor/passwords.d/* /etc/condor/tokens.d/* /var/lib/condor/execute/* /var/lib/condor/spool/* \
    /var/spool/condor/* /var/lock/condor/*
rm -f /etc/ssh/ssh_host_* /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem
rm -f /var/lib/dkms/mok.key
# Or the journal would go on in the image.
journalctl --relinquish-var
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret /var/lib/dbus/machine-id
rm -rf /var/lib/cloud/* /var/lib/dhcp/* /root/.bash_history /root/.cache /var/log/journal/*
# cloud-init writes them for each machine: its name, and its network interface by that one's address.
rm -f /etc/netplan/50-cloud-init.yaml /etc/network/interfaces.d/50-cloud-init
find /var/log /var/tmp -type f -delete
: > /etc/machine-id
: > /etc/hostname

finished=yes
say "ok $versions"
