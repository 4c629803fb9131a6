/* Files that become part of the program: the Makefile makes assets.c of them. */
#ifndef TAP_REPORT_ASSETS_H
#define TAP_REPORT_ASSETS_H

/* Each ends in NUL. */
extern const unsigned char tap_asset_page_html[], tap_asset_page_css[],
    tap_asset_page_js[], tap_asset_lens_js[], tap_asset_d3_js[];

#endif
