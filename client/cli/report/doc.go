// Package report makes one page of HTML of what experiments have left in folders: their tables,
// their plots and how they were made. The page needs nothing else, and runs no script.
package report
