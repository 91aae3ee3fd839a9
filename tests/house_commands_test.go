package tests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// commandTable is where Redis's commands are listed, a row each; what else is about
// several of them by name has to follow from it.
const commandTable = "server/redis/table.go"

// commandNames reads the table's names, in small letters.
var commandNames = sync.OnceValue(func() map[string]bool {
	file, err := parser.ParseFile(token.NewFileSet(), "../"+commandTable, nil, parser.SkipObjectResolution)
	if err != nil {
		panic(err)
	}
	names := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if row, ok := n.(*ast.CompositeLit); ok && row.Type == nil && len(row.Elts) > 0 {
			if name := literal(row.Elts[0]); name != "" {
				names[name] = true
			}
		}
		return true
	})
	return names
})

// literal is a string literal's text in small letters, "" for anything else.
func literal(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		text, _ := strconv.Unquote(lit.Value) // the parser has seen to it
		return strings.ToLower(text)
	}
	return ""
}

// checkCommandLists finds where server, gateway, client or routing name several commands in one
// list, switch or condition. Only what maps the hosted ones to their functions may.
func checkCommandLists(s source) (found []string) {
	switch s.dir() {
	case "server", "server/redis", "server/gateway", "client", "client/admin", "internal/route":
	default:
		return nil
	}
	if s.isTest() || s.path == commandTable {
		return nil
	}
	judge := func(n ast.Node, named []ast.Expr) {
		count := 0
		for _, e := range named {
			if commandNames()[literal(e)] {
				count++
			}
		}
		if count > 1 {
			found = append(found, fmt.Sprintf("line %d: a list of %d commands: make it a column of %s", s.at(n), count, commandTable))
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			return !slices.ContainsFunc(n.Names, isHosted)
		case *ast.AssignStmt:
			id, ok := n.Lhs[0].(*ast.Ident)
			return !ok || !isHosted(id)
		case *ast.CompositeLit:
			var named []ast.Expr
			for _, e := range n.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					e = kv.Key
				}
				named = append(named, e)
			}
			judge(n, named)
		case *ast.SwitchStmt:
			var named []ast.Expr
			for _, c := range n.Body.List {
				named = append(named, c.(*ast.CaseClause).List...)
			}
			judge(n, named)
		case *ast.BinaryExpr:
			if n.Op == token.LOR {
				judge(n, compared(n))
			}
		}
		return true
	})
	return found
}

func isHosted(id *ast.Ident) bool { return id.Name == "hosted" }

// compared lists what a condition compares with.
func compared(e ast.Expr) []ast.Expr {
	b, ok := e.(*ast.BinaryExpr)
	switch {
	case !ok:
		return nil
	case b.Op == token.EQL || b.Op == token.NEQ:
		return []ast.Expr{b.X, b.Y}
	}
	return append(compared(b.X), compared(b.Y)...)
}
