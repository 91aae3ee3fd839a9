// Package chart keeps what an experiment finds: tables as CSV and Markdown, plots of them as SVG
// and PNG, and a note of how they were made. The same table always gives the same bytes.
package chart
