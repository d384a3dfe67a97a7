// Reads paths, a line of hexadecimal digits each, and prints what each normaliser of Go makes of them; "!" if it
// refuses. The first line has the names of those that read paths, the second of those that write URLs.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
)

type normaliser struct {
	name string
	of   func(string) (string, error)
}

func parsed(parse func(string) (*url.URL, error), part func(*url.URL) string) func(string) (string, error) {
	return func(text string) (string, error) {
		found, err := parse(text)
		if err != nil {
			return "", err
		}
		return part(found), nil
	}
}

func always(of func(string) string) func(string) (string, error) {
	return func(text string) (string, error) { return of(text), nil }
}

func resolved(text string) (*url.URL, error) {
	return (&url.URL{Scheme: "http", Host: "h", Path: "/x/y"}).Parse(text)
}

func joined(text string) (*url.URL, error) {
	return (&url.URL{Scheme: "http", Host: "h", Path: "/"}).JoinPath(text), nil
}

func decoded(found *url.URL) string { return found.Path }

var readers = []normaliser{
	{"path.Clean", always(path.Clean)},
	{"path.Join", always(func(text string) string { return path.Join("/", text) })},
	{"filepath.Clean", always(filepath.Clean)},
	{"url.Parse", parsed(url.Parse, decoded)},
	{"url.Parse, escaped", parsed(url.Parse, (*url.URL).EscapedPath)},
	{"url.Parse, String", parsed(url.Parse, (*url.URL).String)},
	{"url.ParseRequestURI", parsed(url.ParseRequestURI, decoded)},
	{"url.Parse of a reference", parsed(resolved, decoded)},
	{"url.JoinPath", parsed(joined, decoded)},
	{"url.PathUnescape", url.PathUnescape},
	{"url.QueryUnescape", url.QueryUnescape},
	{"url.URL, RequestURI", parsed(url.Parse, (*url.URL).RequestURI)},
}

var writers = []normaliser{
	{"url.URL of a path", always(func(text string) string { return (&url.URL{Path: text}).EscapedPath() })},
}

func print(words []string) { fmt.Println(strings.Join(words, " ")) }

func names(of []normaliser) (words []string) {
	for _, each := range of {
		words = append(words, hex.EncodeToString([]byte(each.name)))
	}
	return
}

func main() {
	print(names(readers))
	print(names(writers))
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		text, err := hex.DecodeString(lines.Text())
		if err != nil {
			panic(err)
		}
		var words []string
		for _, each := range append(readers[:len(readers):len(readers)], writers...) {
			if result, err := each.of(string(text)); err != nil {
				words = append(words, "!")
			} else {
				words = append(words, hex.EncodeToString([]byte(result)))
			}
		}
		print(words)
	}
}
