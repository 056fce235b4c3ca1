# How to get packages on Debian: what build.sh calls.
export DEBIAN_FRONTEND=noninteractive

# An annex's machine has no time to wait for apt's lock, and no user who asks. Nobody reads translations or sources
# here, and a machine that loses power before its disk is written is not made into an image.
apt() {
    apt-get --yes -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 -o Acquire::http::Timeout=20 \
        -o Acquire::https::Timeout=20 -o APT::Update::Error-Mode=any -o Dpkg::Options::=--force-confold \
        -o Dpkg::Options::=--force-unsafe-io -o Acquire::Languages=none \
        -o Acquire::IndexTargets::deb-src::Sources::DefaultEnabled=no "$@"
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

# Make the machine ready for installing, and read the lists of packages.
prepare_packages() {
    # Nobody here can confirm that the running kernel may go.
    echo 'linux-base linux-base/removing-running-kernel boolean false' | debconf-set-selections
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
    # In memory, or what they take would be written to the disk that becomes the image.
    mount -t tmpfs -o mode=755 tmpfs /var/lib/apt/lists
    refresh_lists
}

upgrade_system() {
    if [ "$GPU" = yes ]; then
        # install_gpu_driver replaces this kernel, so nobody would boot a newer one.
        apt purge '^linux-image-cloud-.*'
    fi
    apt upgrade --with-new-pkgs
}

# Add the source in APT_SOURCE.
add_package_source() {
    case "$APT_SOURCE" in
    deb[[:space:]]*) put 644 /etc/apt/sources.list.d/annex-bootstrap.list "$APT_SOURCE
" ;;
    *) put 644 /etc/apt/sources.list.d/annex-bootstrap.sources "$APT_SOURCE
" ;;
    esac
    refresh_lists
}

install_condor() {
    apt install --no-install-recommends condor awscli ca-certificates e2fsprogs nftables python3 util-linux
}

install_gpu_driver() {
    architecture=$(dpkg --print-architecture)
    # The kernel for clouds has no DRM, which the driver needs.
    apt install --no-install-recommends "linux-image-$architecture" "linux-headers-$architecture" \
        nvidia-kernel-dkms nvidia-smi libcuda1 libnvidia-ml1
    apt purge '^linux-image.*-cloud-.*'
    for kernel in /lib/modules/*; do
        dkms autoinstall -k "${kernel##*/}"
        modinfo -k "${kernel##*/}" -F version nvidia-current
    done
}

install_packages() {
    # With what Debian recommends, as a person would: docker.io without docker-cli runs no job.
    apt install "$@"
}

# Print the versions of packages, each as name=version and a space.
package_versions() {
    dpkg-query --show --showformat '${Package}=${Version} ' "$@"
}

# An upgrade leaves the running kernel beside the newer one that machines boot.
remove_old_kernels() {
    mapfile -t old < <(find /boot -name 'vmlinuz-*' -printf '%f\n' | sort -V | head -n -1)
    for kernel in "${old[@]}"; do
        apt purge "linux-image-${kernel#vmlinuz-}"
    done
}

# Remove what installing needed, and what was downloaded.
clean_packages() {
    rm -f /usr/sbin/policy-rc.d
    apt clean
    umount --lazy /var/lib/apt/lists
    rm -rf /var/lib/apt/lists/*
}

