// The oracle of the template tests: Go's own text/template behind two pipes.
//
// Reads one JSON object {"template": ..., "data": ...} a line from standard input and answers each
// with one line, {"text": ...} or {"error": ...}. Numbers without a point or an exponent become int,
// the others float64.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"text/template"
	"time"
)

type question struct {
	Template string                 `json:"template"`
	Data     map[string]interface{} `json:"data"`
}

type answer struct {
	Text  string `json:"text"`
	Error string `json:"error"`
}

var functions = template.FuncMap{
	"json": func(value interface{}) string {
		data, err := json.Marshal(value)
		if err != nil {
			return ""
		}
		return string(data)
	},
	"currentDate": func(_ ...string) string {
		return time.Now().Format("2006-01-02")
	},
	"yesterdayDate": func(_ ...string) string {
		return time.Now().AddDate(0, 0, -1).Format("2006-01-02")
	},
	"toTypeScriptType": func(_ interface{}) string { return "any" },
}

// plain turns json.Number into int or float64, and gives lists no room beyond their length.
func plain(value interface{}) interface{} {
	switch given := value.(type) {
	case json.Number:
		if whole, err := strconv.Atoi(string(given)); err == nil {
			return whole
		}
		number, _ := given.Float64()
		return number
	case map[string]interface{}:
		for name, member := range given {
			given[name] = plain(member)
		}
		return given
	case []interface{}:
		items := make([]interface{}, len(given))
		for index, item := range given {
			items[index] = plain(item)
		}
		return items
	}
	return value
}

func reply(line string) (given answer) {
	defer func() {
		if why := recover(); why != nil {
			given = answer{Error: "Go panics"}
		}
	}()
	var asked question
	decoder := json.NewDecoder(strings.NewReader(line))
	decoder.UseNumber()
	if err := decoder.Decode(&asked); err != nil {
		return answer{Error: "oracle: " + err.Error()}
	}
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(asked.Template)
	if err != nil {
		return answer{Error: err.Error()}
	}
	var text strings.Builder
	if err := parsed.Execute(&text, plain(asked.Data)); err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Text: text.String()}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		if err := answers.Encode(reply(lines.Text())); err != nil {
			os.Exit(1)
		}
	}
}
