package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// All is the section of what holds for every command.
const All = "all"

// sizeMax bounds a file, bytes.
const sizeMax = 1 << 20

// Commands says which flags there are: by the path of a command without the program's name, such
// as "meta create", and by All.
type Commands map[string][]string

// Value is what a file says of a flag.
type Value struct {
	Texts  []string // as written; one, unless IsList
	IsList bool
	Origin string // FILE:LINE
}

// File is what a configuration file says. It does not change.
type File struct {
	sections map[string]map[string]Value
}

// Load reads a file. Commands and flags that there are not are errors.
func Load(name string, commands Commands) (*File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, sizeMax+1))
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	if len(text) > sizeMax {
		return nil, fmt.Errorf("configuration file: %s has more than %d bytes", name, sizeMax)
	}
	return Parse(name, text, commands)
}

// Parse reads the text of a file.
func Parse(name string, text []byte, commands Commands) (*File, error) {
	r := &reader{name: name, commands: commands, file: &File{sections: map[string]map[string]Value{}}}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return r.file, nil // it is empty
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: want one document, and nothing behind it", name)
	}
	root := doc.Content[0]
	if isNull(root) {
		return r.file, nil // it has nothing but comments
	}
	return r.file, r.sections(root)
}

// Find returns what a file says of a command's flag: in the command's section, or else in that
// of all. A nil File says nothing.
func (f *File) Find(command, flag string) (Value, bool) {
	if f == nil {
		return Value{}, false
	}
	for _, section := range []string{command, All} {
		if v, ok := f.sections[section][flag]; ok {
			return v, true
		}
	}
	return Value{}, false
}

// reader reads one file.
type reader struct {
	name     string
	commands Commands
	file     *File
}

func (r *reader) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", r.name, n.Line, fmt.Sprintf(format, args...))
}

// sections reads the sections of commands.
func (r *reader) sections(root *yaml.Node) error {
	if root.Kind != yaml.MappingNode {
		return r.errorf(root, "want sections like \"server:\", and flags below them")
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, below := root.Content[i], resolved(root.Content[i+1])
		section, known := r.command(key.Value)
		if !known {
			return r.errorf(key, "%s", r.noCommand(key.Value))
		}
		if line := seen[section]; line > 0 {
			return r.errorf(key, "%s a second time: it is in line %d already", section, line)
		}
		seen[section] = key.Line
		if isNull(below) {
			continue // all below it is commented out
		}
		if below.Kind != yaml.MappingNode {
			return r.errorf(key, "%s is a section: its flags go below it; what holds for every command goes below %s", section, All)
		}
		values, err := r.flags(section, below)
		if err != nil {
			return err
		}
		r.file.sections[section] = values
	}
	return nil
}

// command finds a section by its name, which may have underscores or hyphens.
func (r *reader) command(name string) (section string, known bool) {
	for section := range r.commands {
		if plain(section) == plain(name) {
			return section, true
		}
	}
	return "", false
}

func (r *reader) noCommand(name string) string {
	if slices.Contains(r.commands[All], plain(name)) {
		return fmt.Sprintf("%s is a flag: it goes below %s, or below a command", name, All)
	}
	var names []string
	for section := range r.commands {
		names = append(names, section)
	}
	return fmt.Sprintf("no command is called %q%s", name, meant(name, names))
}

// flags reads the flags of a section.
func (r *reader) flags(section string, below *yaml.Node) (map[string]Value, error) {
	values := map[string]Value{}
	seen := map[string]int{}
	for i := 0; i+1 < len(below.Content); i += 2 {
		key, value := below.Content[i], resolved(below.Content[i+1])
		flag := plain(key.Value)
		switch known := r.commands[section]; {
		case flag == "password":
			return nil, r.errorf(key, "a password is never in here: password-file names the file that has it")
		case !slices.Contains(known, flag):
			return nil, r.errorf(key, "%s has no flag %q%s", section, key.Value, meant(flag, known))
		case seen[flag] > 0:
			return nil, r.errorf(key, "%s a second time: it is in line %d already", flag, seen[flag])
		}
		seen[flag] = key.Line
		v := Value{Origin: fmt.Sprintf("%s:%d", r.name, key.Line), IsList: value.Kind == yaml.SequenceNode}
		texts := []*yaml.Node{value}
		if v.IsList {
			texts = value.Content
		}
		for _, n := range texts {
			n = resolved(n)
			if n.Kind != yaml.ScalarNode || isNull(n) {
				return nil, r.errorf(key, "%s has no value: give it one, \"\" for an empty one, or leave the line out", flag)
			}
			v.Texts = append(v.Texts, n.Value)
		}
		values[flag] = v
	}
	return values, nil
}

// resolved follows an alias to what it stands for.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// plain is a name as flags have it.
func plain(name string) string { return strings.ReplaceAll(name, "_", "-") }
