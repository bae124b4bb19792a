package engine

import (
	"errors"
	"slices"
	"testing"

	"github.com/duroxide/duroxide/core/store"
)

func TestRegistrationErrorsSayWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		promise  string
		register [][2]string
		want     string
	}{
		{"versions ascend", [][2]string{{"o", "1.0.0"}, {"o", "1.0.1"}, {"o", "2.0.0-rc.1"}, {"o", "2.0.0"}}, ""},
		{"duplicate", [][2]string{{"o", "1.0.0"}, {"o", "1.0.0"}}, "duplicate orchestration registration: o@1.0.0"},
		{"not later", [][2]string{{"o", "1.2.0"}, {"o", "1.1.9"}}, "non-monotonic orchestration version for o: 1.1.9 is not later than existing latest 1.2.0"},
		{"numbers, not text", [][2]string{{"o", "1.9.0"}, {"o", "1.10.0"}}, ""},
		{"short version", [][2]string{{"o", "1.0"}}, `Version should be valid semver: orchestration o has version "1.0", want MAJOR.MINOR.PATCH`},
		{"no version", [][2]string{{"o", "latest"}}, `Version should be valid semver: orchestration o has version "latest", want MAJOR.MINOR.PATCH`},
		{"reserved", [][2]string{{"__duroxide_syscall:x", "1.0.0"}}, `orchestration name "__duroxide_syscall:x" is reserved: names that begin with __duroxide belong to the engine`},
		{"empty", [][2]string{{"", "1.0.0"}}, "the name of an orchestration must not be empty"},
	} {
		t.Run(c.promise, func(t *testing.T) {
			r, err := New(nil, DefaultOptions())
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range c.register {
				err = r.RegisterOrchestration(o[0], o[1])
			}
			if got := text(err); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestVersionsResolve(t *testing.T) {
	g := newRegistry()
	for _, v := range []string{"1.0.0", "1.9.0", "1.10.0"} {
		if err := g.addOrchestration("o", v); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, asked, want string
		ok                bool
	}{
		{"o", "", "1.10.0", true}, {"o", "1.9.0", "1.9.0", true}, {"o", "2.0.0", "2.0.0", false}, {"p", "", "", false},
	} {
		if got, ok := g.resolve(c.name, c.asked); got != c.want || ok != c.ok {
			t.Errorf("%s@%s: %s %t, want %s %t", c.name, c.asked, got, ok, c.want, c.ok)
		}
	}
}

func TestNearestNamesAreThoseMostAlike(t *testing.T) {
	g := newRegistry()
	for _, name := range []string{"send_mail", "send_main", "charge"} {
		if err := g.addActivity(name); err != nil {
			t.Fatal(err)
		}
	}
	got := g.nearest(store.Unclaimable{Job: 1, Name: "sendmail"})
	if want := []string{"send_mail", "send_main"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestOptionsOutOfRangeAreNamed(t *testing.T) {
	for option, spoil := range map[string]func(*Options){
		"worker_concurrency": func(o *Options) { o.WorkerConcurrency = 0 },
		"lease":              func(o *Options) { o.Lease = 1 },
		"worker_tag_filter":  func(o *Options) { o.Tags.Tags = make([]string, 6) },
		"verify_replay":      func(o *Options) { o.VerifyReplay = 1.1 },
	} {
		o := DefaultOptions()
		spoil(&o)
		_, err := New(nil, o)
		var e *OptionError
		if !errors.As(err, &e) || e.Option != option {
			t.Errorf("%s: %v", option, err)
		}
	}
}
