"""Functions, each with its quirks; Go decides what they give. The data is in conftest.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest

PRINTING = [
    "{{ .List }} {{ .Map }} {{ .Mixed }} {{ .NoList }} {{ .NoMap }} {{ .Deep }}",
    "{{ .Rows }}",
    "{{ .Zero }} {{ .Half }} {{ .Million }} {{ .Huge }} {{ .Tiny }} {{ .Minus }} {{ .Big }}",
    "{{ .True }} {{ .False }} {{ .Emoji }} {{ .Accents }}",
    '{{ print 1 2 "a" "b" 3 4 }} {{ print "a" 1 "b" }} {{ print }} {{ print nil nil }}',
    "{{ print .Missing .Null (.Missing) }} {{ print .Mixed .Map }}",
    '{{ println 1 "a" nil .List }}|{{ println }}|',
    '{{ "x" | print "y" }} {{ .Missing | print }} {{ 1 | print 2 | print 3 }}',
    "{{ html .Html }} {{ html .Html 1 2 nil }} {{ html }} {{ html .Missing }} {{ html .List }}",
    '{{ html "\\x00" }}',
    "{{ js .Html }} {{ js .Odd }} {{ js .Emoji }} {{ js `\x01=\x7f` }} {{ js nil }}",
    '{{ urlquery "a b&c=d/é~*-_." 1 }} {{ urlquery .Missing }} {{ .Html | urlquery }}',
    "{{ json .Map }} {{ json .Mixed }} {{ json .Html }} {{ json .Odd }} {{ json .Emoji }}",
    "{{ json .Missing }} {{ json nil }} {{ json .NoList }} {{ json .NoMap }} {{ json .Rows }}",
    "{{ json .Half }} {{ json .Million }} {{ json .Huge }} {{ json .Tiny }} {{ json .Big }}",
    (
        "{{ json 1.0 }} {{ json 1e20 }} {{ json 1e-6 }} {{ json 1.5e-9 }} {{ json -0.0 }} {{"
        " json 1e100 }}"
    ),
    '{{ json "\\xc3" }} {{ json "a\\xffb" }} {{ json "\\ufffd" }} {{ json "\\xc3\\xa9" }}',
    "{{ json `\u2028\u2029\x7f\x01` }}",
    "{{ currentDate }} {{ yesterdayDate }} {{ currentDate `2006` }} {{ `x` | currentDate }}",
    "{{ currentDate 1 }}",
    "{{ toTypeScriptType .Map }} {{ toTypeScriptType nil }}",
]

PRINTF = [
    (
        "{{ printf `%d %5d|%-5d|%05d|%+d|% d|%x|%X|%#x|%o|%#o|%O|%b|%c|%q|%U` 1 2 3 4 5 6 255"
        " 255 255"
        " 8 8 8 5 65 65 233 }}"
    ),
    "{{ printf `%.3d|%8.3d|%-8.3d|%08.3d|%.0d|%+05d|%x` 5 5 5 5 0 5 -255 }}",
    (
        "{{ printf `%s|%5s|%-5s|%.2s|%5.1s|%q|%x|%X|% x|%#x|%05s` `abc` `ab` `ab` `abc` `abc`"
        ' `a"b`'
        " `hi` `hi` `hi` `hi` `ab` }}"
    ),
    (
        "{{ printf `%f|%.2f|%8.3f|%-8.1f|%08.2f|%+.1f|%e|%.3e|%g|%.3g|%G|%v|%5v|%F` 1.5 2.345"
        " 3.14159 1.5"
        " -1.5 2.5 12345.678 12345.678 0.00001 12345.678 1e-10 2.5 2.5 1.5 }}"
    ),
    "{{ printf `%t|%5t|%v|%-7v|` true false true false }}",
    "{{ printf `%v|%s|%d|%q` .List .List .Numbers .List }}",
    "{{ printf `%v|%5v|%s|%d` .Mixed .Mixed .Mixed .Mixed }}",
    "{{ printf `%v|%s|%d` .Map .Map .Map }}",
    "{{ printf `%v %s %d %5v| %T` .Missing .Missing .Missing nil nil }}",
    "{{ printf `%T %T %T %T %T %T` 1 `a` 1.5 true .List .Map }}",
    "{{ printf `%d %s %f %t` `a` 1 1 1 }}",
    "{{ printf `%5d|%-5s|` `a` 1 }}",
    "{{ printf `%d` }} {{ printf `%d %d` 1 }} {{ printf `x` 1 `a` nil 2.5 }} {{ printf `%` }}",
    "{{ printf `%%|%5%|%z|%!` 1 2 }}",
    "{{ printf `%*d|%-*d|%.*f|%*d` 5 1 5 2 2 1.234 -4 7 }}",
    "{{ printf `%*d` `x` 1 }} {{ printf `%.*f` -2 1.5 }}",
    "{{ printf `%q %+q %#q %q` .Accents .Accents `plain` .Odd }}",
    (
        "{{ printf `%q|%v|%c|%d|%T` (index `abc` 0) (index `abc` 1) (index `abc` 2) (index"
        " `a` 0)"
        " (index `a` 0) }}"
    ),
    "{{ printf `%5s|%-5s|%.3s` .Emoji .Accents .Accents }}",
    "{{ printf `%x %X` .Accents .Emoji }} {{ printf `%.2x` `abc` }}",
    "{{ printf `%+v %+v %+v` 1 `a` .Map }}",
    "{{ printf `%6.2f|%6.0f|%.10g|%g|%g` 3.14159 2.5 123456789.123 1e21 100000.0 }}",
    "{{ printf `%v %v %v` 1e20 1e21 123456789.0 }}",
    "{{ printf `%U %#U %08U` 9731 9731 9731 }} {{ printf `%c%c` 9731 -1 }} {{ printf `%q` 10 }}",
    "{{ printf `%s` 5 | printf `%s %s` `a` }} {{ .Name | printf `%s-%s` `x` }}",
    "{{ printf `%+d|%-06d|%+5d|% d|%+s|%+q|%06d|%+06t` 1.5 1.5 2.5 2.5 1 true `a` 5 }}",
    "{{ printf 1 }}",
    "{{ printf nil }}",
    "{{ printf .Missing }}",
    "{{ printf }}",
    "{{ printf .Name }} {{ `%d` | printf }}",
    "{{ printf `é%dü` 1 }} {{ printf `%é` 1 }} {{ printf `%5.é` 1 }}",
    "{{ printf `%-05d|%-+5d|%+-5d|%0+5d|% 05d|%+.2e` 1 2 3 4 5 6.0 }}",
    "{{ printf `%010.3f|%+010.3f|%-010.3f|%5t|%05t` 1.5 1.5 1.5 true true }}",
]

COMPARING = [
    (
        "{{ eq 1 1 }} {{ eq 1 2 }} {{ eq 1 2 3 1 }} {{ eq `a` `a` }} {{ eq true true }} {{ eq"
        " 1.5 1.5 }}"
    ),
    "{{ eq 1 1.0 }}",
    "{{ eq 1 `1` }}",
    "{{ eq `a` 1 `a` }}",
    "{{ eq `a` `a` 1 }}",
    "{{ eq 1 }}",
    "{{ eq }}",
    "{{ eq nil nil }} {{ eq .Missing nil }} {{ eq .Missing .Null }}",
    "{{ eq .Missing 1 }} {{ eq 1 .Missing }} {{ eq .Missing `` }} {{ eq nil 1 nil }}",
    "{{ eq .List .List }}",
    "{{ eq .Map 1 }}",
    "{{ eq 1 .Map }}",
    "{{ eq .Missing .List }}",
    "{{ eq .List .Missing }}",
    "{{ ne 1 2 }} {{ ne 1 1 }} {{ ne `a` .Name }} {{ ne .Missing nil }}",
    "{{ ne 1 2 3 }}",
    "{{ lt 1 2 }} {{ le 2 2 }} {{ gt 1 2 }} {{ ge 2 2 }} {{ lt `a` `b` }} {{ lt 1.5 2.5 }}",
    "{{ le 1 2 }} {{ le 3 2 }} {{ ge 1 2 }} {{ ge 3 2 }} {{ gt 3 2 }} {{ lt `é` `z` }}",
    "{{ lt 1 1.5 }}",
    "{{ lt true false }}",
    "{{ lt nil 1 }}",
    "{{ lt .List .List }}",
    "{{ lt .Missing 1 }}",
    "{{ lt 1 }}",
    "{{ eq 97 (index `a` 0) }} {{ lt 96 (index `a` 0) }} {{ 'a' | eq (index `a` 0) }}",
    "{{ 1 | eq 1 }} {{ 2 | lt 1 }} {{ .Name | eq `Ada` }}",
    "{{ eq .True true }} {{ eq .False .Zero }}",
]

LOGIC = [
    (
        "{{ and 1 2 }} {{ and 0 2 }} {{ and `` 1 }} {{ and 1 `` 2 }} {{ and nil 1 }} {{ and"
        " .Missing 1 }}"
    ),
    "{{ or 0 2 }} {{ or 1 2 }} {{ or `` nil 0 }} {{ or nil }} {{ or .Missing .Null .NoList }}",
    "{{ not 1 }} {{ not 0 }} {{ not nil }} {{ not .Missing }} {{ not .List }} {{ not .NoMap }}",
    "{{ not }}",
    "{{ not 1 2 }}",
    "{{ and }}",
    "{{ or }}",
    "{{ 1 | and }} {{ 0 | or }} {{ 1 | and 2 }} {{ 1 | and 0 }} {{ 1 | or 0 }} {{ 1 | or 2 }}",
    "{{ and .Missing .Missing.x.y }} {{ or .Name .Null.x.y }}",
    "{{ and .Name .Null.x }}",
    "{{ or .Empty .Null.x }}",
    "{{ and .List .Map | len }} {{ (or .Missing .Deep).a.b.c }} {{ (and .Deep .Missing).x }}",
    "{{ if and .Name (or .Empty .List) (not .False) }}yes{{ else }}no{{ end }}",
    "{{ if or .Zero .Half }}h{{ end }}{{ if .Empty }}e{{ end }}{{ if .NoList }}l{{ end }}",
    (
        "{{ if .NoMap }}m{{ end }}{{ if .Map }}M{{ end }}{{ if .Zero }}z{{ end }}{{ if 0.0"
        " }}f{{ end }}"
    ),
    "{{ if .Minus }}-{{ end }}{{ if nil }}n{{ end }}",
    "{{ if .Null }}n{{ else }}N{{ end }}",
]

SEQUENCES = [
    (
        "{{ len .Name }} {{ len .Accents }} {{ len .Emoji }} {{ len .List }} {{ len .Map }}"
        " {{ len `` }}"
    ),
    "{{ len 1 }}",
    "{{ len nil }}",
    "{{ len .Missing }}",
    "{{ len .Null }}",
    "{{ len }}",
    "{{ len .List .List }}",
    "{{ index .List 0 }} {{ index .Map `a` }} {{ index .Map `none` }} {{ index .Name 1 }}",
    "{{ index .Rows 2 `tags` 1 }} {{ index .Deep `a` `b` `c` }} {{ index .Name }} {{ index 1 }}",
    "{{ index .List 3 }}",
    "{{ index .List -1 }}",
    "{{ index .List `0` }}",
    "{{ index .List 0.0 }}",
    "{{ index .List nil }}",
    "{{ index .List true }}",
    "{{ index .Map 1 }}",
    "{{ index .Map nil }}",
    "{{ index .Missing 1 }}",
    "{{ index nil }}",
    "{{ index .Map `none` `deeper` }}",
    "{{ index .Null }}",
    "{{ index 5 1 }}",
    "{{ index }}",
    "{{ index .Name 99 }}",
    "{{ index .List (index `\\x00` 0) }}",
    '{{ index .List (index "\\x01" 0) }}',
    "{{ (index .Map `none`).x }}",
    (
        "{{ slice .Name 1 }} {{ slice .Name 1 2 }} {{ slice .Name }} {{ slice .List 1 }} {{"
        " slice .List 0 2 }}"
    ),
    "{{ slice .List 1 2 3 }} {{ slice .List 3 }} {{ len (slice .List 3) }}",
    "{{ slice .Accents 0 3 }}|{{ slice .Accents 2 4 }}|{{ slice .Emoji 1 3 }}",
    "{{ print (slice .Accents 0 3) (slice .Accents 3) }} {{ len (slice .Accents 0 3) }}",
    "{{ slice .List 2 1 }}",
    "{{ slice .List 4 }}",
    "{{ slice .List -1 }}",
    "{{ slice .List `a` }}",
    "{{ slice .Name 0 1 2 }}",
    "{{ slice .List 0 1 2 3 }}",
    "{{ slice .Map 1 }}",
    "{{ slice nil }}",
    "{{ slice .Missing 1 }}",
    "{{ slice 5 }}",
    "{{ slice .List 1 nil }}",
    "{{ slice .List 1 3 2 }}",
    "{{ call .Name }}",
    "{{ call nil }}",
    "{{ call }}",
]


@pytest.mark.parametrize("template", [*PRINTING, *PRINTF, *COMPARING, *LOGIC, *SEQUENCES])
def test_a_function_gives_what_it_gives_in_go(
    same_as_go: Callable[[str], None], template: str
) -> None:
    same_as_go(template)
