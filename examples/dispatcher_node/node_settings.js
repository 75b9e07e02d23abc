'use strict'
// What a layer needs of <NODE_DIR>/node.yaml. The deployer writes plain block style: mappings, lists and scalars, of
// which this reads just that (a layer with a YAML library at hand would use it).

const fs = require('fs')
const path = require('path')

/** Return {name, host, run, ports: {qbackend: [port, ...]}, ...} of a node's folder; throws when it cannot be read. */
function readSettings (folder) {
  const lines = []
  for (const line of fs.readFileSync(path.join(folder, 'node.yaml'), 'utf8').split('\n')) {
    if (!line.trim() || line.startsWith('#')) continue
    const text = line.trimStart()
    const indent = line.length - text.length
    const folded = isOpen(lines.at(-1)?.text) || !/^- |^-$|^[^\s:]+:( |$)/.test(text)
    if (folded) lines.at(-1).text += ' ' + text // a long text goes on
    else lines.push({ indent, text })
  }
  return block(lines, 0)
}

/** Whether a quoted text has not come to its end. */
function isOpen (text = '') {
  const value = text.replace(/^- /, '').replace(/^[^\s:'"]+:\s+/, '')
  return value.startsWith("'") && value.split("'").length % 2 === 0
}

/** Read the mapping or the list that begins at the first line; takes its lines away. */
function block (lines, indent) {
  if (lines[0].text.startsWith('-')) {
    const list = []
    while (lines.length && lines[0].indent === indent && lines[0].text.startsWith('-')) {
      const inner = lines[0].text.slice(1).trimStart()
      if (/^[^\s:'"]+:( |$)/.test(inner)) { // a mapping whose first line stands beside the dash
        lines[0] = { indent: indent + 2, text: inner }
        list.push(block(lines, indent + 2))
      } else {
        lines.shift()
        list.push(scalar(inner))
      }
    }
    return list
  }
  const mapping = {}
  while (lines.length && lines[0].indent === indent && !lines[0].text.startsWith('- ')) {
    const [, key, value] = lines.shift().text.match(/^([^\s:]+):\s*(.*)$/s)
    const deeper = lines.length && (lines[0].indent > indent || (lines[0].indent === indent && lines[0].text.startsWith('-')))
    mapping[key] = value === '' && deeper ? block(lines, lines[0].indent) : scalar(value)
  }
  return mapping
}

function scalar (text) {
  if (text === '[]') return []
  if (text === '{}') return {}
  if (text.startsWith("'")) return text.slice(1, -1).replaceAll("''", "'")
  if (text.startsWith('"')) return JSON.parse(text)
  if (/^-?\d+(\.\d+)?(e[-+]?\d+)?$/.test(text)) return Number(text)
  return { true: true, false: false, null: null }[text] ?? text
}

module.exports = { readSettings }
