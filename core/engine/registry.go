package engine

import (
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/duroxide/duroxide/core/store"
)

// reservedPrefix begins names that belong to the engine.
const reservedPrefix = "__duroxide"

// registry holds what a runtime can run. It does not change after Start, so it is read without a lock.
type registry struct {
	orchestrations map[string][]string // versions, ascending
	activities     map[string]bool
}

func newRegistry() registry {
	return registry{orchestrations: map[string][]string{}, activities: map[string]bool{}}
}

func (g *registry) addOrchestration(name, version string) error {
	if err := checkName("orchestration", name); err != nil {
		return err
	}
	if !isSemver(version) {
		return registrationErrorf("Version should be valid semver: orchestration %s has version %q, want MAJOR.MINOR.PATCH", name, version)
	}
	versions := g.orchestrations[name]
	if slices.Contains(versions, version) {
		return registrationErrorf("duplicate orchestration registration: %s@%s", name, version)
	}
	if n := len(versions); n > 0 && semver.Compare("v"+version, "v"+versions[n-1]) <= 0 {
		return registrationErrorf("non-monotonic orchestration version for %s: %s is not later than existing latest %s", name, version, versions[n-1])
	}
	g.orchestrations[name] = append(versions, version)
	return nil
}

func (g *registry) addActivity(name string) error {
	if err := checkName("activity", name); err != nil {
		return err
	}
	if g.activities[name] {
		return registrationErrorf("duplicate activity registration: %s", name)
	}
	g.activities[name] = true
	return nil
}

func checkName(what, name string) error {
	if name == "" {
		return registrationErrorf("the name of an %s must not be empty", what)
	}
	if strings.HasPrefix(name, reservedPrefix) {
		return registrationErrorf("%s name %q is reserved: names that begin with %s belong to the engine", what, name, reservedPrefix)
	}
	return nil
}

// isSemver takes full versions only: "1.0" would be another name of "1.0.0".
func isSemver(version string) bool {
	v := "v" + version
	return semver.IsValid(v) && semver.Canonical(v)+semver.Build(v) == v
}

// resolve gives the version that runs for what was asked: the latest for none.
func (g *registry) resolve(name, version string) (string, bool) {
	versions := g.orchestrations[name]
	if len(versions) == 0 {
		return "", false
	}
	if version == "" {
		return versions[len(versions)-1], true
	}
	return version, slices.Contains(versions, version)
}

func (g *registry) latest(name string) (string, bool) { return g.resolve(name, "") }

// nodeOrchestrations are the names as a node publishes them.
func (g *registry) nodeOrchestrations() []string {
	var names []string
	for name, versions := range g.orchestrations {
		for _, v := range versions {
			names = append(names, name+"@"+v)
		}
	}
	slices.Sort(names)
	return names
}

// readyNames are the names as a ready query wants them: plain for instances that still wait for the latest version.
func (g *registry) readyNames() []string {
	names := g.nodeOrchestrations()
	for name := range g.orchestrations {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (g *registry) nodeActivities() []string {
	names := make([]string, 0, len(g.activities))
	for name := range g.activities {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// nearest gives up to three registered names that are most like the one nobody knows. Versions do not count: they would
// make all short names alike.
func (g *registry) nearest(u store.Unclaimable) []string {
	names := g.nodeActivities()
	if u.Job == 0 {
		names = g.nodeOrchestrations()
	}
	type scored struct {
		name     string
		distance int
	}
	var near []scored
	for _, name := range names {
		plain := name
		if u.Job == 0 {
			plain = name[:strings.LastIndexByte(name, '@')]
		}
		if d := editDistance(u.Name, plain); d <= max(len(u.Name), len(plain))/2 && !strings.HasPrefix(name, reservedPrefix) {
			near = append(near, scored{name, d})
		}
	}
	slices.SortStableFunc(near, func(a, b scored) int { return a.distance - b.distance })
	var best []string
	for _, s := range near[:min(3, len(near))] {
		best = append(best, s.name)
	}
	return best
}

// editDistance counts the insertions, deletions and replacements of bytes between two names.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
