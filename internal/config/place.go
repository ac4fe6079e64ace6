package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// This file has the kinds of values that name places: the application, files
// and addresses.

// target is module:attribute, or a module or Django project alone.
type target struct{}

func (k target) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if !ok {
		return nil, errExpected(k, raw)
	}
	if s == "" {
		return "", nil
	}
	module, attribute, ok := strings.Cut(s, ":")
	callable := strings.TrimSuffix(attribute, "()")
	if !dotted(module) || ok && !dotted(callable) {
		if strings.HasSuffix(module, ".py") || strings.ContainsAny(module, `/\`) {
			name := strings.TrimSuffix(strings.Trim(filepath.ToSlash(module), "./"), ".py")
			return nil, fmt.Errorf("%w; a module is named as in an import, here perhaps %s",
				errExpected(k, raw), quote(strings.ReplaceAll(name, "/", ".")))
		}
		return nil, errExpected(k, raw)
	}
	return s, nil
}
func (target) write(v any) string { return tomlString(v.(string)) }
func (target) argument() string   { return "MODULE:ATTRIBUTE" }
func (target) expects() string {
	return `module:attribute, such as "main:app", module:factory(), or a Django project's name`
}

// dotted reports whether s is names joined by dots. What a name may be is
// Python's business; only what can never be one is refused.
func dotted(s string) bool {
	for name := range strings.SplitSeq(s, ".") {
		if name == "" || name == "py" || strings.ContainsAny(name, " \t\r\n\x00:/\\()[]'\"") {
			return false
		}
	}
	return true
}

// rootPath is the path that the application is mounted at (ASGI root_path,
// PEP 3333 SCRIPT_NAME).
type rootPath struct{}

func (k rootPath) read(raw any, _ string) (any, error) {
	s, ok := stringOf(raw)
	if !ok || s != "" && (s[0] != '/' || s[len(s)-1] == '/') || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, errExpected(k, raw)
	}
	return s, nil
}
func (rootPath) write(v any) string { return tomlString(v.(string)) }
func (rootPath) argument() string   { return "PATH" }
func (rootPath) expects() string {
	return `a path such as "/shop", with a slash in front and none at the end`
}

// filePath is a file or folder. Values that are not changed to absolute paths, and
// not checked, are in except.
type filePath struct {
	what   string // for "expected …"
	check  func(path string) error
	except func(s string) bool
}

func (k filePath) read(raw any, base string) (any, error) {
	s, ok := stringOf(raw)
	if !ok || strings.ContainsRune(s, 0) {
		return nil, errExpected(k, raw)
	}
	if k.except(s) {
		return s, nil
	}
	if s == "" {
		return nil, errExpected(k, raw)
	}
	return absolute(s, base), nil
}
func (k filePath) write(v any) string { return tomlString(v.(string)) }
func (k filePath) argument() string   { return "PATH" }
func (k filePath) expects() string    { return k.what }

// verify checks a value that read made; only the one that is used is checked.
func (k filePath) verify(s string) error {
	if k.except(s) {
		return nil
	}
	return k.check(s)
}

func isEmpty(s string) bool { return s == "" }
func isDash(s string) bool  { return s == "-" }
func never(string) bool     { return false }

func isAutoOrOff(s string) bool { return s == "auto" || s == "off" }

// isProgramName reports whether s is "auto" or a name to look for on PATH.
func isProgramName(s string) bool {
	return s != "" && !strings.ContainsRune(s, filepath.Separator)
}

func checkDirectory(p string) error {
	info, err := os.Stat(p)
	if err != nil {
		return fmt.Errorf("cannot use %s: %w", quote(p), cause(err))
	}
	if !info.IsDir() {
		return fmt.Errorf("cannot use %s: it is not a folder", quote(p))
	}
	return nil
}

func checkFile(p string) error {
	info, err := os.Stat(p)
	if err != nil {
		return fmt.Errorf("cannot use %s: %w", quote(p), cause(err))
	}
	if info.IsDir() {
		return fmt.Errorf("cannot use %s: it is a folder", quote(p))
	}
	return nil
}

// checkParent accepts what can be created.
func checkParent(p string) error {
	if info, err := os.Stat(p); err == nil && info.IsDir() {
		return fmt.Errorf("cannot use %s: it is a folder", quote(p))
	}
	return checkDirectory(filepath.Dir(p))
}

// cause takes the operation and the path, which the caller names itself, off
// an error.
func cause(err error) error {
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// addresses is a list of places to listen at.
type addresses struct{}

func (k addresses) read(raw any, base string) (any, error) {
	var list []string
	switch v := raw.(type) {
	case text:
		for s := range strings.SplitSeq(string(v), ",") {
			list = append(list, strings.TrimSpace(s))
		}
	case string:
		list = []string{v}
	case []any:
		for _, element := range v {
			s, ok := element.(string)
			if !ok {
				return nil, errExpected(k, element)
			}
			list = append(list, s)
		}
	default:
		return nil, errExpected(k, raw)
	}
	if len(list) == 0 {
		return nil, errExpected(k, raw)
	}
	result := make([]Address, 0, len(list))
	for _, s := range list {
		a, err := parseAddress(s, base)
		if err != nil {
			return nil, fmt.Errorf("expected %s, got %s: %w", addressForms, quote(s), err)
		}
		result = append(result, a)
	}
	return result, nil
}

func (addresses) write(v any) string {
	var list []string
	for _, a := range v.([]Address) {
		list = append(list, tomlString(a.String()))
	}
	return "[" + strings.Join(list, ", ") + "]"
}
func (addresses) argument() string { return "ADDRESS" }
func (addresses) expects() string {
	return "a list of addresses, each " + addressForms
}

// address is one place to listen at, or "".
type address struct{}

func (k address) read(raw any, base string) (any, error) {
	s, ok := stringOf(raw)
	if !ok {
		return nil, errExpected(k, raw)
	}
	if s == "" {
		return Address{}, nil
	}
	a, err := parseAddress(s, base)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errExpected(k, raw), err)
	}
	return a, nil
}
func (address) write(v any) string { return tomlString(v.(Address).String()) }
func (address) argument() string   { return "ADDRESS" }
func (address) expects() string    { return `"" or ` + addressForms }
