package privilege

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"

	"pyspeed/internal/logfile"
)

// Identity is who to become. A nil *Identity is nobody else: all methods work.
type Identity struct {
	Name   string // of the user; "": only the group changes
	Home   string
	UID    int // -1: only the group changes
	GID    int
	Groups []int // all, with GID
}

// Find looks user and group up, each a name or a number, or "" for none. It is nil where neither is set.
func Find(userName, groupName string) (*Identity, error) {
	if userName == "" && groupName == "" {
		return nil, nil
	}
	id := &Identity{UID: -1, GID: -1}
	if groupName != "" {
		gid, err := findGroup(groupName)
		if err != nil {
			return nil, err
		}
		id.GID, id.Groups = gid, []int{gid}
	}
	if userName == "" {
		return id, nil
	}
	if err := id.findUser(userName); err != nil {
		return nil, err
	}
	return id, nil
}

func findGroup(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err == nil {
		name = g.Gid
	}
	gid, ok := number(name)
	if !ok {
		return 0, fmt.Errorf("cannot use server.group: there is no group %q here (/etc/group); make it, or give a number", name)
	}
	return gid, nil
}

// findUser completes id, which may have a group already.
func (id *Identity) findUser(name string) error {
	u, err := user.Lookup(name)
	uid, isNumber := number(name)
	if err != nil && isNumber {
		u, err = user.LookupId(name)
	}
	switch {
	case err != nil && !isNumber:
		return fmt.Errorf("cannot use server.user: there is no user %q here (/etc/passwd); make it, or give a number", name)
	case err != nil && id.GID < 0:
		return fmt.Errorf("cannot use server.user: the number %d has no entry in /etc/passwd that names its group; set server.group too", uid)
	case err != nil:
		id.Name, id.Home, id.UID = name, "/", uid
		return nil
	}
	id.Name, id.Home = u.Username, u.HomeDir
	if id.UID, err = strconv.Atoi(u.Uid); err != nil {
		return fmt.Errorf("cannot use server.user: the user %q has the number %q", name, u.Uid)
	}
	groups, err := u.GroupIds()
	if err != nil {
		return fmt.Errorf("cannot find the groups of the user %q: %w", name, err)
	}
	if id.GID < 0 {
		if id.GID, err = strconv.Atoi(u.Gid); err != nil {
			return fmt.Errorf("cannot use server.user: the user %q has the group %q", name, u.Gid)
		}
		id.Groups = []int{id.GID}
	} else {
		// As initgroups(3) has it: the group that was named stands in for the user's own.
		groups = slices.DeleteFunc(groups, func(g string) bool { return g == u.Gid })
	}
	for _, text := range groups {
		if g, err := strconv.Atoi(text); err == nil && !slices.Contains(id.Groups, g) {
			id.Groups = append(id.Groups, g)
		}
	}
	return nil
}

// number reads the number of a user or group; -1 has a meaning of its own in system calls.
func number(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return int(n), err == nil && n < 1<<32-1
}

// Owner is whom files shall belong to that are made before Become.
func (id *Identity) Owner() logfile.Owner {
	if id == nil || os.Geteuid() != 0 {
		return logfile.Owner{}
	}
	return logfile.Owner{Set: true, UID: id.UID, GID: id.GID}
}

// Become makes the whole process the identity's, for good, and sets HOME, USER and LOGNAME, which workers inherit.
func (id *Identity) Become() error {
	if id == nil || id.here() {
		return nil
	}
	if err := id.change(); err != nil {
		return err
	}
	if id.UID < 0 {
		return nil
	}
	for name, value := range map[string]string{"HOME": id.Home, "USER": id.Name, "LOGNAME": id.Name} {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("cannot set %s for the user %s: %w", name, id.Name, err)
		}
	}
	return nil
}

// here is whether there is nothing to change: a service manager may have started us as the user already. Root's groups are
// always set, since a user's may be fewer.
func (id *Identity) here() bool {
	return os.Geteuid() != 0 && (id.UID < 0 || id.UID == os.Geteuid() && id.UID == os.Getuid()) && id.GID == os.Getegid() && id.GID == os.Getgid()
}

func (id *Identity) change() error {
	// In this order: without the user's rights the groups could not be changed any more. Go changes all
	// threads, or none.
	if err := syscall.Setgroups(id.Groups); err != nil {
		return id.refused("set the groups", err)
	}
	if err := syscall.Setgid(id.GID); err != nil {
		return id.refused("change the group", err)
	}
	if id.UID < 0 {
		return nil
	}
	if err := syscall.Setuid(id.UID); err != nil {
		return id.refused("change the user", err)
	}
	if id.UID == 0 {
		return nil
	}
	// What can be undone protects nobody.
	if os.Getuid() != id.UID || os.Geteuid() != id.UID || os.Getgid() != id.GID || os.Getegid() != id.GID ||
		syscall.Setuid(0) == nil || id.GID != 0 && syscall.Setgid(0) == nil {
		return fmt.Errorf("cannot become %s for good: the process could become root again; take the capability SETUID from it", id)
	}
	return nil
}

func (id *Identity) refused(what string, err error) error {
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("cannot become %s: only root can %s; start pyspeed-gw as root, or leave server.user and server.group out and have the service manager choose them", id, what)
	}
	return fmt.Errorf("cannot become %s: %w", id, err)
}

func (id *Identity) String() string {
	if id.UID < 0 {
		return fmt.Sprintf("the group %d", id.GID)
	}
	return fmt.Sprintf("the user %s (%d, group %d)", id.Name, id.UID, id.GID)
}
