package sqlite

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNetworkFileSystemsAreRefused(t *testing.T) {
	for magic, name := range map[uint32]string{unix.NFS_SUPER_MAGIC: "NFS", unix.SMB2_SUPER_MAGIC: "SMB", unix.CEPH_SUPER_MAGIC: "Ceph"} {
		err := refuseType("/data/flows.db", magic)
		if err == nil || !strings.Contains(err.Error(), "/data/flows.db lies on a network file system ("+name+")") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, magic := range map[string]uint32{
		"ext4": unix.EXT4_SUPER_MAGIC, "xfs": unix.XFS_SUPER_MAGIC, "btrfs": unix.BTRFS_SUPER_MAGIC, "tmpfs": unix.TMPFS_MAGIC,
		"overlay": unix.OVERLAYFS_SUPER_MAGIC,
	} {
		if err := refuseType("/data/flows.db", magic); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
