// Package page looks at the view leader's page with a browser, Chromium.
package page
