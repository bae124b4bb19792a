package replay

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// The package's version stands in one Python file; what the engine writes into histories is the same.
func TestEngineVersionIsThatOfThePackage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "python", "duroxide", "_version.py"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`__version__ = "([^"]+)"`).FindSubmatch(text)
	if found == nil || string(found[1]) != EngineVersion {
		t.Errorf("python/duroxide/_version.py says %q, EngineVersion is %q", found, EngineVersion)
	}
}
